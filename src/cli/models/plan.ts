import { resolve } from "node:path";
import { ServableError } from "../../errors.ts";
import type { ModelGrpcServerOptions } from "../../runtime/grpc/model-grpc-server.ts";
import type { MetricsServerOptions } from "../../runtime/http/open-inference/metrics-server.ts";
import type { ModelHttpServerOptions } from "../../runtime/http/open-inference/options.ts";
import type { ModelRepositoryOptions } from "../../server/options.ts";
import { flagsWithoutEffect, type ModelFlags } from "./flags.ts";

/** What flags come down to. A front that is undefined is not served. */
export interface ModelsPlan {
  readonly repository: Omit<ModelRepositoryOptions, "log">;
  readonly http: Omit<ModelHttpServerOptions, "plane" | "log"> | undefined;
  readonly grpc: Omit<ModelGrpcServerOptions, "plane" | "log"> | undefined;
  readonly metrics: (Omit<MetricsServerOptions, "registry" | "log"> & { readonly cpu: boolean }) | undefined;
  readonly graceMs: number;
  readonly logFormat: "json" | "pretty" | undefined;
  readonly logFile: string | undefined;
  /** Settings of the log, under the names of the protocol. */
  readonly logSettings: Readonly<Record<string, boolean | number>>;
  /** Flags that were given and change nothing, for the log. */
  readonly withoutEffect: readonly string[];
}

interface Access {
  readonly auth: { readonly tokenFile: string } | undefined;
  readonly allowUnauthenticated: boolean | undefined;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
}

/** Makes a plan of flags. @throws ServableError `invalid_argument` for flags that don't go together */
export function planOf(flags: ModelFlags & { readonly modelStore?: readonly string[] }): ModelsPlan {
  const access = accessOf(flags);
  return {
    repository: repositoryOf(flags),
    http: (flags.allowHttp ?? true) ? httpOf(flags, access) : undefined,
    grpc: (flags.allowGrpc ?? true) ? grpcOf(flags, access) : undefined,
    metrics: (flags.allowMetrics ?? true) ? metricsOf(flags, access) : undefined,
    graceMs: (flags.exitTimeoutSecs ?? 30) * 1_000,
    logFormat: flags.logFormat === "json" || flags.logFormat === "pretty" ? flags.logFormat : undefined,
    logFile: flags.logFile,
    logSettings: {
      log_verbose_level: flags.logVerbose ?? 0,
      log_info: flags.logInfo ?? true,
      log_warning: flags.logWarning ?? true,
      log_error: flags.logError ?? true,
    },
    withoutEffect: [...flagsWithoutEffect.filter((name) => name in flags).map(flagNameOf), ...backendConfigWithoutEffect(flags)],
  };
}

function repositoryOf(flags: ModelFlags & { readonly modelStore?: readonly string[] }): ModelsPlan["repository"] {
  const repositories = [...(flags.modelRepository ?? []), ...(flags.modelStore ?? [])];
  if (repositories.length === 0) throw wrong("Say which models to serve: --model-repository <path>.");
  const control = flags.modelControlMode ?? "none";
  const { loadModel = [] } = flags;
  if (loadModel.length > 0 && control !== "explicit") throw wrong("--load-model needs --model-control-mode explicit beside it.");
  if (loadModel.includes("*") && loadModel.length > 1) throw wrong("--load-model '*' means all models, so no other name goes with it.");
  return {
    repositories: repositories.map((path) => resolve(path)),
    control,
    loadModels: loadModel,
    pollMs: flags.repositoryPollSecs === undefined ? undefined : flags.repositoryPollSecs * 1_000,
    exitOnError: flags.exitOnError,
    strictReadiness: flags.strictReadiness,
    autoComplete: flags.disableAutoCompleteConfig === true ? false : undefined,
    defaultMaxBatchSize: defaultMaxBatchSizeOf(flags),
    loadThreads: flags.modelLoadThreadCount,
    responseCacheBytes: flags.cacheConfig ?? flags.responseCacheByteSize,
    configName: flags.modelConfigName,
    rateLimit: flags.rateLimit,
    rateLimitResources: flags.rateLimitResource,
    name: flags.id,
  };
}

const batchSizeSetting = "default-max-batch-size";

function defaultMaxBatchSizeOf({ backendConfig = [] }: ModelFlags): number | undefined {
  let size: number | undefined;
  for (const { backend, name, value } of backendConfig) {
    if (!isBatchSize(backend, name)) continue;
    if (!/^\d{1,9}$/.test(value)) throw wrong(`${batchSizeSetting} must be a whole number, not '${value}'.`);
    size = Number(value);
  }
  return size;
}

function isBatchSize(backend: string, name: string): boolean {
  return name === batchSizeSetting && (backend === "" || backend === "onnxruntime");
}

/** Which settings a backend has is its own affair; Triton takes any, and so they are only told of. */
function backendConfigWithoutEffect({ backendConfig = [] }: ModelFlags): readonly string[] {
  const others = backendConfig.filter(({ backend, name }) => !isBatchSize(backend, name));
  return others.map(({ backend, name, value }) => `--backend-config=${backend === "" ? "" : `${backend},`}${name}=${value}`);
}

function httpOf(flags: ModelFlags, access: Access): ModelsPlan["http"] {
  return {
    ...access,
    host: flags.httpAddress,
    port: flags.httpPort,
    corsOrigins: flags.corsOrigin,
    maxInputBytes: flags.httpMaxInputSize,
    restricted: flags.httpRestrictedApi,
    headerForwardPattern: flags.httpHeaderForwardPattern,
  };
}

function grpcOf(flags: ModelFlags, access: Access): ModelsPlan["grpc"] {
  const { grpcInferResponseCompressionLevel: level = "none" } = flags;
  return {
    ...access,
    tls: grpcTlsOf(flags) ?? access.tls,
    host: flags.grpcAddress,
    port: flags.grpcPort,
    responseCompression: level === "none" ? "none" : "gzip",
    keepalive: { timeMs: flags.grpcKeepaliveTime, timeoutMs: flags.grpcKeepaliveTimeout },
    connectionAge:
      flags.grpcMaxConnectionAge === undefined
        ? undefined
        : { ageMs: flags.grpcMaxConnectionAge, graceMs: flags.grpcMaxConnectionAgeGrace },
    restricted: flags.grpcRestrictedProtocol,
    headerForwardPattern: flags.grpcHeaderForwardPattern,
  };
}

function grpcTlsOf(flags: ModelFlags): NonNullable<ModelsPlan["grpc"]>["tls"] {
  if (flags.grpcUseSsl !== true && flags.grpcUseSslMutual !== true) return undefined;
  const { grpcServerCert: certFile, grpcServerKey: keyFile, grpcRootCert } = flags;
  if (certFile === undefined || keyFile === undefined)
    throw wrong("--grpc-use-ssl needs --grpc-server-cert and --grpc-server-key beside it.");
  if (flags.grpcUseSslMutual !== true) return { certFile, keyFile };
  if (grpcRootCert === undefined) throw wrong("--grpc-use-ssl-mutual needs --grpc-root-cert beside it.");
  return { certFile, keyFile, clientCaFile: grpcRootCert };
}

function metricsOf(flags: ModelFlags, access: Access): ModelsPlan["metrics"] {
  return { ...access, host: flags.metricsAddress ?? flags.httpAddress, port: flags.metricsPort, cpu: flags.allowCpuMetrics ?? true };
}

function accessOf({ tokenFile, allowUnauthenticated, tlsCert, tlsKey }: ModelFlags): Access {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [given, missing] = tlsCert === undefined ? ["--tls-key", "--tls-cert"] : ["--tls-cert", "--tls-key"];
    throw wrong(`${given} needs ${missing} beside it: TLS takes a certificate and its key.`);
  }
  return {
    auth: tokenFile === undefined ? undefined : { tokenFile },
    allowUnauthenticated,
    tls: tlsCert === undefined || tlsKey === undefined ? undefined : { certFile: tlsCert, keyFile: tlsKey },
  };
}

function flagNameOf(attribute: string): string {
  return `--${attribute.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function wrong(message: string): ServableError {
  return new ServableError("invalid_argument", message);
}
