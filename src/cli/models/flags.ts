import { InvalidArgumentError, Option, type Command } from "commander";
import type { ModelControlMode } from "../../server/options.ts";
import type { RateLimitResource } from "../../server/rate-limiter.ts";
import type { RestrictedApi } from "../../runtime/http/open-inference/restrictions.ts";
import { isOrigin, wholeNumber } from "../flags.ts";
import {
  backendSetting,
  cacheBytes,
  configName,
  collected,
  headerPattern,
  onlyOff,
  rateLimitResource,
  restrictedApi,
  yesOrNo,
  type BackendSetting,
} from "./flag-values.ts";

/** What the flags of `models` say; undefined where one was not given. */
export interface ModelFlags {
  readonly modelRepository?: readonly string[];
  readonly modelControlMode?: ModelControlMode;
  readonly loadModel?: readonly string[];
  readonly repositoryPollSecs?: number;
  readonly exitOnError?: boolean;
  readonly strictReadiness?: boolean;
  readonly disableAutoCompleteConfig?: true;
  readonly modelConfigName?: string;
  readonly backendConfig?: readonly BackendSetting[];
  readonly cacheConfig?: number;
  readonly responseCacheByteSize?: number;
  readonly modelLoadThreadCount?: number;
  readonly rateLimit?: "off" | "execution_count";
  readonly rateLimitResource?: readonly RateLimitResource[];
  readonly id?: string;
  readonly exitTimeoutSecs?: number;
  readonly allowHttp?: boolean;
  readonly httpAddress?: string;
  readonly httpPort?: number;
  readonly httpMaxInputSize?: number;
  readonly httpHeaderForwardPattern?: RegExp;
  readonly httpRestrictedApi?: readonly RestrictedApi[];
  readonly allowGrpc?: boolean;
  readonly grpcAddress?: string;
  readonly grpcPort?: number;
  readonly grpcUseSsl?: boolean;
  readonly grpcUseSslMutual?: boolean;
  readonly grpcServerCert?: string;
  readonly grpcServerKey?: string;
  readonly grpcRootCert?: string;
  readonly grpcInferResponseCompressionLevel?: "none" | "low" | "medium" | "high";
  readonly grpcKeepaliveTime?: number;
  readonly grpcKeepaliveTimeout?: number;
  readonly grpcMaxConnectionAge?: number;
  readonly grpcMaxConnectionAgeGrace?: number;
  readonly grpcHeaderForwardPattern?: RegExp;
  readonly grpcRestrictedProtocol?: readonly RestrictedApi[];
  readonly allowMetrics?: boolean;
  readonly metricsAddress?: string;
  readonly metricsPort?: number;
  readonly allowCpuMetrics?: boolean;
  readonly tokenFile?: string;
  readonly allowUnauthenticated?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly corsOrigin?: readonly string[];
  readonly logVerbose?: number;
  readonly logFile?: string;
  readonly logInfo?: boolean;
  readonly logWarning?: boolean;
  readonly logError?: boolean;
  readonly logFormat?: "default" | "ISO8601" | "json" | "pretty";
}

/** Flags of tritonserver's that change nothing here, so that a command line that works there works here. */
const withoutEffect: readonly (readonly [string, string])[] = [
  ["--http-thread-count <number>", "one thread does the work of eight here"],
  ["--reuse-http-port <boolean>", ""],
  ["--reuse-grpc-port <boolean>", ""],
  ["--allow-gpu-metrics <boolean>", "there are none"],
  ["--metrics-interval-ms <number>", "they are read when they are asked for"],
  ["--backend-directory <path>", "backends are built in"],
  ["--repoagent-directory <path>", ""],
  ["--cache-directory <path>", ""],
  ["--pinned-memory-pool-byte-size <number>", "there is no such pool"],
  ["--cuda-memory-pool-byte-size <gpu:number>", "there is no such pool"],
  ["--buffer-manager-thread-count <number>", ""],
  ["--min-supported-compute-capability <number>", ""],
  ["--grpc-infer-allocation-pool-size <number>", ""],
  ["--grpc-infer-thread-count <number>", ""],
  ["--grpc-max-response-pool-size <number>", ""],
  ["--grpc-keepalive-permit-without-calls <boolean>", ""],
  ["--grpc-http2-max-pings-without-data <number>", ""],
  ["--grpc-http2-min-recv-ping-interval-without-data <ms>", ""],
  ["--grpc-http2-max-ping-strikes <number>", ""],
  ["--metrics-config <setting=value>", ""],
  ["--trace-config <mode,setting=value>", "requests are not traced to files"],
  ["--model-load-retry-count <number>", "what fails to load fails again"],
  ["--model-load-gpu-limit <device:fraction>", ""],
  ["--host-policy <policy,setting=value>", ""],
  ["--enable-peer-access <boolean>", ""],
  ["--cuda-virtual-address-size <device:number>", ""],
  ["--sagemaker-port <number>", ""],
  ["--sagemaker-safe-port-range <number-number>", ""],
  ["--sagemaker-thread-count <number>", ""],
  ["--vertex-ai-port <number>", ""],
  ["--vertex-ai-thread-count <number>", ""],
  ["--vertex-ai-default-model <name>", ""],
];

/** The names of the flags in {@link withoutEffect}, as commander keeps their values. */
export const flagsWithoutEffect: readonly string[] = withoutEffect.map(([flag]) => new Option(flag).attributeName());

const longestSecs = 2_000_000;
const most = Number.MAX_SAFE_INTEGER;

/** Adds the flags of `tritonserver`, and those that it lacks. */
export function addModelFlags(command: Command): Command {
  const number = (flag: string, description: string, least: number, largest: number = most): Option =>
    new Option(flag, description).argParser(wholeNumber(least, largest));
  const port = (name: string, usual: number): Option =>
    number(`--${name}-port <number>`, `0 takes any free port (default: ${usual})`, 0, 65_535);
  const isOn = (flag: string, description: string): Option => new Option(`${flag} <boolean>`, description).argParser(yesOrNo);
  const several = <T>(flag: string, description: string, read: (text: string) => T): Option =>
    new Option(flag, `${description} (repeatable)`).argParser(collected(read));
  const asItIs = (text: string): string => text;
  command
    .optionsGroup("Models:")
    .addOption(several("--model-repository <path>", "a folder laid out as a Triton model repository", asItIs))
    .addOption(several("--model-store <path>", "the same", asItIs).hideHelp())
    .addOption(
      new Option("--model-control-mode <mode>", "who decides what is loaded (default: none)").choices(["none", "poll", "explicit"]),
    )
    .addOption(several("--load-model <name>", "with explicit: load it at the start; * for all", asItIs))
    .addOption(number("--repository-poll-secs <number>", "with poll: time between two looks (default: 15)", 1, longestSecs))
    .addOption(isOn("--exit-on-error", "end when a model does not load at the start (default: true)"))
    .addOption(isOn("--strict-readiness", "ready only while all models are (default: true)"))
    .option("--disable-auto-complete-config", "take nothing of a configuration from the model")
    .addOption(
      new Option("--model-config-name <name>", "take configs/<name>.pbtxt of models that have it, instead of config.pbtxt").argParser(
        configName,
      ),
    )
    .addOption(several("--backend-config <backend,name=value>", "default-max-batch-size=<number>; others have no effect", backendSetting))
    .addOption(
      new Option("--cache-config <local,size=bytes>", "room for responses of models that ask for a cache (default: none)").argParser(
        cacheBytes,
      ),
    )
    .addOption(number("--response-cache-byte-size <bytes>", "what --cache-config was before", 0).hideHelp())
    .addOption(number("--model-load-thread-count <number>", "models that load at the same time (default: 4)", 1, 1_024))
    .addOption(
      new Option("--rate-limit <mode>", "whether rate limiters of instances are heeded (default: off)").choices(["off", "execution_count"]),
    )
    .addOption(
      several(
        "--rate-limit-resource <name:count:device>",
        "how much there is of a resource; without a device, on each (default: what one instance needs at most)",
        rateLimitResource,
      ),
    )
    .option("--id <name>", "what the server calls itself (default: triton)")
    .addOption(number("--exit-timeout-secs <number>", "time for requests in flight at the end (default: 30)", 0, longestSecs))
    .optionsGroup("HTTP:")
    .addOption(isOn("--allow-http", "(default: true)"))
    .option("--http-address <address>", "where to listen (default: 127.0.0.1)")
    .addOption(port("http", 8000))
    .addOption(number("--http-max-input-size <bytes>", "largest JSON, and raw request (default: 64 MiB)", 1))
    .addOption(new Option("--http-header-forward-pattern <regex>", "headers that become parameters").argParser(headerPattern))
    .addOption(several("--http-restricted-api <apis:header=value>", "ask for a header", restrictedApi))
    .optionsGroup("gRPC:")
    .addOption(isOn("--allow-grpc", "(default: true)"))
    .option("--grpc-address <address>", "where to listen (default: 127.0.0.1)")
    .addOption(port("grpc", 8001))
    .addOption(isOn("--grpc-use-ssl", "serve TLS (default: false)"))
    .addOption(isOn("--grpc-use-ssl-mutual", "ask clients for a certificate (default: false)"))
    .option("--grpc-server-cert <file>", "the certificate (PEM)")
    .option("--grpc-server-key <file>", "the key (PEM)")
    .option("--grpc-root-cert <file>", "the authority of the clients' certificates (PEM)")
    .addOption(new Option("--grpc-infer-response-compression-level <level>", "(default: none)").choices(["none", "low", "medium", "high"]))
    .addOption(number("--grpc-keepalive-time <ms>", "(default: 7200000)", 1, 2 ** 31 - 1))
    .addOption(number("--grpc-keepalive-timeout <ms>", "(default: 20000)", 1, 2 ** 31 - 1))
    .addOption(number("--grpc-max-connection-age <ms>", "connections are ended after this time (default: never)", 1, 2 ** 31 - 1))
    .addOption(number("--grpc-max-connection-age-grace <ms>", "and cut this much later (default: never)", 0, 2 ** 31 - 1))
    .addOption(new Option("--grpc-header-forward-pattern <regex>", "metadata that become parameters").argParser(headerPattern))
    .addOption(several("--grpc-restricted-protocol <protocols:key=value>", "ask for metadata triton-grpc-protocol-<key>", restrictedApi))
    .optionsGroup("Metrics:")
    .addOption(isOn("--allow-metrics", "(default: true)"))
    .option("--metrics-address <address>", "where to listen (default: that of HTTP)")
    .addOption(port("metrics", 8002))
    .addOption(isOn("--allow-cpu-metrics", "what the machine does, too (default: true)"))
    .optionsGroup("Access, of all ports:")
    .option("--token-file <file>", "take only requests with a bearer token of this file, one a line")
    .option("--allow-unauthenticated", "serve anybody, also off this machine")
    .option("--tls-cert <file>", "serve TLS: the certificate (PEM)")
    .option("--tls-key <file>", "serve TLS: the key (PEM)")
    .addOption(several("--cors-origin <origin>", "let pages of this origin call; * for all", corsOrigin))
    .optionsGroup("Log:")
    .addOption(number("--log-verbose <level>", "0 is none (default: 0)", 0, 1_000))
    .option("--log-file <file>", "write it to the end of this file (default: standard output)")
    .addOption(isOn("--log-info", "(default: true)"))
    .addOption(isOn("--log-warning", "(default: true)"))
    .addOption(isOn("--log-error", "(default: true)"))
    .addOption(
      new Option("--log-format <format>", "(default: pretty on a terminal, else json)").choices(["default", "ISO8601", "json", "pretty"]),
    );
  addRest(command);
  return command;
}

/** Flags that are taken, and grant nothing. */
function addRest(command: Command): void {
  command.optionsGroup("Of tritonserver, without effect:");
  for (const [flag, why] of withoutEffect) command.addOption(new Option(flag, why));
  const refused = (flag: string, instead: string): Option => new Option(`${flag} <boolean>`).argParser(onlyOff(instead)).hideHelp();
  command
    .addOption(refused("--allow-client-shm", "This server shares no memory with its clients."))
    .addOption(refused("--allow-sagemaker", "This server has no routes for SageMaker."))
    .addOption(refused("--allow-vertex-ai", "This server has no routes for Vertex AI."))
    .addOption(refused("--model-namespacing", "Models of all repositories have one space of names here."))
    .addOption(
      new Option("--strict-model-config <boolean>")
        .argParser(() => {
          throw new InvalidArgumentError("It is called --disable-auto-complete-config now.");
        })
        .hideHelp(),
    );
}

function corsOrigin(text: string): string {
  if (isOrigin(text)) return text;
  throw new InvalidArgumentError("It must be an origin such as https://example.com, with no path, or *.");
}
