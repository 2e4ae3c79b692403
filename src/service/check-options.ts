import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf, type KnownKeys } from "../known-keys.ts";
import type { BatchPolicy, ServiceInfo, ServicePolicy } from "./definition.ts";
import type { RequestHandler, ResponseHandler } from "./handlers/handler.ts";

const policyKeys = {
  placement: true,
  workers: true,
  concurrency: true,
  queue: true,
  deadlineMs: true,
  killAfterMs: true,
  stages: { workers: true },
  devices: true,
  batching: { maxRows: true, maxDelayMs: true, waitAlone: true, preferredRows: true } satisfies KeysOf<BatchPolicy>,
  maxBodyBytes: true,
} satisfies KeysOf<ServicePolicy>;

const infoKeys = {
  name: true,
  description: true,
  input: true,
  output: true,
  request: true,
  response: true,
  validateOutput: true,
  jsonSchema: { input: true, output: true },
  example: true,
  warmup: true,
  model: true,
  loadModel: true,
  policy: policyKeys,
} satisfies KeysOf<ServiceInfo>;

/**
 * Refuses words that a definition does not know.
 *
 * @param own - what it has besides a {@link ServiceInfo}
 * @throws ServableError `invalid_config`
 */
export function checkInfoKeys(info: Pick<Partial<ServiceInfo>, "name" | "policy">, own: readonly string[]): void {
  const known: KnownKeys = { ...infoKeys, ...Object.fromEntries(own.map((key) => [key, true as const])) };
  refuseUnknownKeys(info, known, `Service '${String(info.name)}'`);
}

/** @param whose - to begin a sentence with @throws ServableError `invalid_config` */
export function checkPolicyKeys(policy: ServicePolicy, whose: string): void {
  refuseUnknownKeys(policy, policyKeys, whose, "policy");
}

/** @throws ServableError `invalid_config` for a media type that no header could carry */
export function checkMediaTypes(service: string, handlers: readonly (RequestHandler | ResponseHandler)[]): void {
  for (const { mediaTypes } of handlers) {
    if (!Array.isArray(mediaTypes) || mediaTypes.length === 0) {
      throw new ServableError(
        "invalid_config",
        `A handler of service '${service}' names no media type: give it mediaTypes: ["text/csv"], say.`,
      );
    }
    const odd = (mediaTypes as readonly unknown[]).find(
      (mediaType) => typeof mediaType !== "string" || !/^[!-~]+\/[ -~]*[!-~]$/.test(mediaType),
    );
    if (odd === undefined) continue;
    throw new ServableError(
      "invalid_config",
      `A handler of service '${service}' has the media type ${JSON.stringify(odd)}; one is like "text/csv", in plain letters.`,
    );
  }
}
