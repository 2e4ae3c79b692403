import { homedir } from "node:os";
import path from "node:path";
import { ServableError } from "../../errors.ts";
import type { RunnableTritonConfig } from "../../artifact/runnable-triton-config.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { downloadKeys, type DownloadOptions } from "../../storage/download.ts";
import { isLoopback } from "../address.ts";
import type { ModelReplication } from "./replication.ts";

/** Where a server listens. */
export interface TritonPorts {
  /** 0 takes any free one. @default 8000 */
  readonly http?: number | undefined;
  /** 0 takes any free one. @default 8001 */
  readonly grpc?: number | undefined;
  /** 0 takes any free one. @default 8002 */
  readonly metrics?: number | undefined;
}

/** How a {@link TritonModelServer} runs; what is not here can be said with tritonserver's own flags in `arguments`. */
export interface TritonModelServerOptions {
  /**
   * A folder laid out as a model repository; or the URI of an archive of one (`file:`, `http(s):`, `s3:`; with `#sha256=…` it is checked and, once
   * it was downloaded, not downloaded again).
   */
  readonly artifact: string | RunnableTritonConfig;
  /** How an archive is downloaded. @default into `servable/artifacts` of the user's cache, with a line in the log every 5 s */
  readonly download?: Partial<Omit<DownloadOptions, "signal">> | undefined;
  /** For each model named here, how many instances of it run, in place of what its configuration says. @default none */
  readonly modelNamesToReplication?: Readonly<Record<string, ModelReplication>> | undefined;
  /** @default "tritonserver", looked up on PATH */
  readonly binary?: string | undefined;
  /** Where there is no such binary: fail, or serve the same repository on the same ports with this package's own model server. @default "none" */
  readonly fallback?: "none" | "servable" | undefined;
  /** More flags for the server. @default none */
  readonly arguments?: readonly string[] | undefined;
  /** Variables over those of this process; undefined takes one away. @default none */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Where tritonserver finds its backends. @default tritonserver's own place */
  readonly backendDirectory?: string | undefined;
  /** The address to listen on. @default "127.0.0.1" */
  readonly host?: string | undefined;
  /** tritonserver asks nobody who he is: an address off this machine needs this, too. @default false */
  readonly allowUnauthenticated?: boolean | undefined;
  readonly ports?: TritonPorts | undefined;
  /** Who decides which models are loaded: all there are, all there are and what changes, or whoever asks. @default "none" */
  readonly control?: "none" | "poll" | "explicit" | undefined;
  /** With `explicit`: what is loaded at the start; `["*"]` is all. @default none */
  readonly loadModels?: readonly string[] | undefined;
  /** Whether rate limiters of instances are heeded. @default "execution_count" where a replication has one, else "off" */
  readonly rateLimit?: "off" | "execution_count" | undefined;
  /** Longest time from the start of the process until it is ready. @default 300000 */
  readonly startTimeoutMs?: number | undefined;
  /** Longest time from SIGTERM until the process is killed. @default 30000 */
  readonly graceMs?: number | undefined;
  /** Gets what the server logs, too. @default a new one on standard output */
  readonly log?: EngineLogger | undefined;
}

/** {@link TritonModelServerOptions}, checked, with every default filled in but the logger. */
export interface ResolvedTritonOptions {
  readonly artifact: string;
  readonly download: Omit<DownloadOptions, "signal">;
  readonly replication: Readonly<Record<string, ModelReplication>>;
  readonly binary: string;
  readonly fallback: "none" | "servable";
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly backendDirectory: string | undefined;
  readonly host: string;
  readonly allowUnauthenticated: boolean;
  readonly ports: { readonly [K in keyof TritonPorts]-?: number };
  readonly control: "none" | "poll" | "explicit";
  readonly loadModels: readonly string[];
  readonly rateLimit: "off" | "execution_count" | undefined;
  readonly startTimeoutMs: number;
  readonly graceMs: number;
}

// The folder has a default here.
const { signal: _signal, ...downloads } = { ...downloadKeys, folder: true as const };

const keys = {
  artifact: "needed",
  download: downloads,
  modelNamesToReplication: true,
  binary: true,
  fallback: true,
  arguments: true,
  environment: true,
  backendDirectory: true,
  host: true,
  allowUnauthenticated: true,
  ports: { http: true, grpc: true, metrics: true } satisfies KeysOf<TritonPorts>,
  control: true,
  loadModels: true,
  rateLimit: true,
  startTimeoutMs: true,
  graceMs: true,
  log: true,
} satisfies KeysOf<TritonModelServerOptions>;

/** @throws ServableError `invalid_config` for what makes no sense */
export function resolveTritonOptions(options: TritonModelServerOptions): ResolvedTritonOptions {
  refuseUnknownKeys(options, keys, "TritonModelServer");
  const host = options.host ?? "127.0.0.1";
  const allowUnauthenticated = options.allowUnauthenticated ?? false;
  const control = options.control ?? "none";
  const loadModels = options.loadModels ?? [];
  const artifact = typeof options.artifact === "string" ? options.artifact : options.artifact.modelArtifactUri;
  if (artifact === "") throw wrong("artifact is empty: name the folder of a model repository.");
  if (!allowUnauthenticated && !isLoopback(host)) {
    throw wrong(`tritonserver answers anybody who reaches ${host}: listen on 127.0.0.1, or say allowUnauthenticated: true.`);
  }
  if (loadModels.length > 0 && control !== "explicit") throw wrong(`loadModels is for control "explicit", not "${control}".`);
  if (control === "poll" && Object.keys(options.modelNamesToReplication ?? {}).length > 0) {
    throw wrong(
      "modelNamesToReplication is written into a copy of the repository, where polling would see no change: choose one of the two.",
    );
  }
  return Object.freeze({
    artifact,
    download: { ...options.download, folder: options.download?.folder ?? cacheFolder() },
    replication: { ...options.modelNamesToReplication },
    binary: options.binary ?? "tritonserver",
    fallback: options.fallback ?? "none",
    arguments: [...(options.arguments ?? [])],
    environment: { ...options.environment },
    backendDirectory: options.backendDirectory,
    host,
    allowUnauthenticated,
    ports: {
      http: checkPort("http", options.ports?.http ?? 8_000),
      grpc: checkPort("grpc", options.ports?.grpc ?? 8_001),
      metrics: checkPort("metrics", options.ports?.metrics ?? 8_002),
    },
    control,
    loadModels: [...loadModels],
    rateLimit: options.rateLimit,
    startTimeoutMs: checkTime("startTimeoutMs", options.startTimeoutMs ?? 300_000, 1),
    graceMs: checkTime("graceMs", options.graceMs ?? 30_000, 0),
  });
}

/** Where programs of this user keep what they can get anew. */
function cacheFolder(): string {
  const { XDG_CACHE_HOME = "" } = process.env;
  return path.join(XDG_CACHE_HOME === "" ? path.join(homedir(), ".cache") : XDG_CACHE_HOME, "servable", "artifacts");
}

function checkPort(name: string, port: number): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw wrong(`ports.${name} must be a whole number from 0 to 65535; it is ${port}.`);
}

/** Longer times than this overflow timers, and mean a mistake. */
const longestMs = 2 ** 31 - 1;

function checkTime(name: string, ms: number, least: number): number {
  if (Number.isFinite(ms) && ms >= least && ms <= longestMs) return ms;
  throw wrong(`${name} must be a number of milliseconds from ${least} to ${longestMs}; it is ${ms}.`);
}

function wrong(message: string): ServableError {
  return new ServableError("invalid_config", message);
}
