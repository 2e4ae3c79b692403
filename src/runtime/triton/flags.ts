import type { FoundServer } from "./find-server.ts";
import type { ResolvedTritonOptions } from "./options.ts";
import type { ChosenPorts } from "./ports.ts";
import { hasRateLimiter } from "./replication.ts";

/** Whether the server is to heed rate limiters, as it was told or as a replication asks for. */
function rateLimitOf({ rateLimit, replication }: Pick<ResolvedTritonOptions, "rateLimit" | "replication">): "off" | "execution_count" {
  return rateLimit ?? (hasRateLimiter(replication) ? "execution_count" : "off");
}

/** The flags of a server. They are the same for both kinds, but for what only one of them has. */
export function serverFlags(
  options: ResolvedTritonOptions,
  kind: FoundServer["kind"],
  repository: string,
  ports: ChosenPorts,
): readonly string[] {
  const { host, control, loadModels, backendDirectory, graceMs } = options;
  const isReal = kind === "tritonserver";
  const rateLimit = rateLimitOf(options);
  return [
    `--model-repository=${repository}`,
    `--model-control-mode=${control}`,
    ...loadModels.map((model) => `--load-model=${model}`),
    `--http-address=${host}`,
    `--grpc-address=${host}`,
    `--metrics-address=${host}`,
    `--http-port=${ports.http}`,
    `--grpc-port=${ports.grpc}`,
    `--metrics-port=${ports.metrics}`,
    `--exit-timeout-secs=${Math.ceil(graceMs / 1_000)}`,
    ...(backendDirectory === undefined ? [] : [`--backend-directory=${backendDirectory}`]),
    ...(rateLimit === "off" ? [] : [`--rate-limit=${rateLimit}`]),
    ...(isReal ? [] : ["--log-format=json"]),
    ...(!isReal && options.allowUnauthenticated ? ["--allow-unauthenticated"] : []),
    // The last one of a flag that stands twice counts, so that these can say otherwise.
    ...options.arguments,
  ];
}
