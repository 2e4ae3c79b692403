import { ServableError } from "../errors.ts";
import type { RateLimitResource } from "./rate-limiter.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";

/** Who decides which models are loaded: all there are, all there are and what changes, or whoever asks. */
export type ModelControlMode = "none" | "poll" | "explicit";

/** How a {@link ModelRepositoryServer} serves; what is left out is as `tritonserver` has it, but for limits, which are finite. */
export interface ModelRepositoryOptions {
  /** Folders laid out as Triton model repositories; of a model that is in two, neither is loaded. */
  readonly repositories: readonly string[];
  readonly log: EngineLogger;
  /** @default "none" */
  readonly control?: ModelControlMode | undefined;
  /** With `explicit`: what is loaded at the start; `["*"]` is all. @default none */
  readonly loadModels?: readonly string[] | undefined;
  /** With `poll`: the time between two looks. @default 15000 */
  readonly pollMs?: number | undefined;
  /** Whether a start at which a model fails to load fails as a whole. @default true */
  readonly exitOnError?: boolean | undefined;
  /** Whether the server counts as ready only while all its models are. @default true */
  readonly strictReadiness?: boolean | undefined;
  /** Whether what a configuration leaves out is taken from the model. @default true */
  readonly autoComplete?: boolean | undefined;
  /** Models that have a `configs/<configName>.pbtxt` are served with that instead of their config.pbtxt. @default none are */
  readonly configName?: string | undefined;
  /** What a model that can have batches gets as `max_batch_size` where its configuration is taken from it. @default 4 */
  readonly defaultMaxBatchSize?: number | undefined;
  /** Models that are loaded at the same time. @default 4 */
  readonly loadThreads?: number | undefined;
  /** Requests that one version of a model may have in hand, waiting ones included. @default 4096 */
  readonly maxPendingRequests?: number | undefined;
  /** Longest time for one answer, and for the last requests of a version that is unloaded. @default 600000 */
  readonly deadlineMs?: number | undefined;
  /** Room for responses of models whose configuration asks for a cache. @default 0: there is none */
  readonly responseCacheBytes?: number | undefined;
  /** Whether rate limiters of instances are heeded. @default "off" */
  readonly rateLimit?: "off" | "execution_count" | undefined;
  /** How much there is of what rate limiters ask for. @default of each as much as the instance needs that needs the most */
  readonly rateLimitResources?: readonly RateLimitResource[] | undefined;
  /** GPUs of this machine, by number. @default none */
  readonly gpus?: readonly number[] | undefined;
  /** What the server calls itself. @default "triton" */
  readonly name?: string | undefined;
  /** The version that it says it has: that of the Triton whose behaviour it keeps. @default "2.73.0" */
  readonly version?: string | undefined;
}

/** {@link ModelRepositoryOptions} with every default filled in. */
export type ResolvedRepositoryOptions = {
  readonly [K in Exclude<keyof ModelRepositoryOptions, "configName">]-?: NonNullable<ModelRepositoryOptions[K]>;
} & { readonly configName: string | undefined };

const keys = {
  repositories: "needed",
  log: "needed",
  control: true,
  loadModels: true,
  pollMs: true,
  exitOnError: true,
  strictReadiness: true,
  autoComplete: true,
  configName: true,
  defaultMaxBatchSize: true,
  loadThreads: true,
  maxPendingRequests: true,
  deadlineMs: true,
  responseCacheBytes: true,
  rateLimit: true,
  rateLimitResources: [{ name: "needed", count: "needed", device: true } satisfies KeysOf<RateLimitResource>],
  gpus: true,
  name: true,
  version: true,
} satisfies KeysOf<ModelRepositoryOptions>;

/** Fills in the defaults. @throws ServableError `invalid_config` for what makes no sense */
export function resolveRepositoryOptions(options: ModelRepositoryOptions): ResolvedRepositoryOptions {
  refuseUnknownKeys(options, keys, "ModelRepositoryServer");
  const { repositories, log } = options;
  if (!Array.isArray(options.repositories)) {
    throw new ServableError("invalid_config", "ModelRepositoryServer: its repositories must be a list of folders.");
  }
  if (repositories.length === 0) throw new ServableError("invalid_config", "A model server needs at least one model repository.");
  const control = options.control ?? "none";
  const loadModels = options.loadModels ?? [];
  if (loadModels.length > 0 && control !== "explicit") {
    throw new ServableError("invalid_config", `loadModels is for control "explicit", not "${control}".`);
  }
  if (loadModels.length > 1 && loadModels.includes("*")) {
    throw new ServableError("invalid_config", 'loadModels has "*", which is all there are, and so no other name.');
  }
  if (options.configName !== undefined && !isConfigName(options.configName)) {
    throw new ServableError("invalid_config", `configName must be the name of a file without spaces, not "${options.configName}".`);
  }
  const whole = (name: string, value: number, least: number): number => {
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new ServableError("invalid_config", `${name} must be a whole number of at least ${least}, not ${value}.`);
  };
  return Object.freeze({
    repositories: [...repositories],
    log,
    control,
    loadModels: [...loadModels],
    pollMs: whole("pollMs", options.pollMs ?? 15_000, 1),
    exitOnError: options.exitOnError ?? true,
    strictReadiness: options.strictReadiness ?? true,
    autoComplete: options.autoComplete ?? true,
    configName: options.configName,
    defaultMaxBatchSize: whole("defaultMaxBatchSize", options.defaultMaxBatchSize ?? 4, 0),
    loadThreads: whole("loadThreads", options.loadThreads ?? 4, 1),
    maxPendingRequests: whole("maxPendingRequests", options.maxPendingRequests ?? 4_096, 1),
    deadlineMs: whole("deadlineMs", options.deadlineMs ?? 600_000, 1),
    responseCacheBytes: whole("responseCacheBytes", options.responseCacheBytes ?? 0, 0),
    rateLimit: options.rateLimit ?? "off",
    rateLimitResources: [...(options.rateLimitResources ?? [])],
    gpus: [...(options.gpus ?? [])],
    name: options.name ?? "triton",
    version: options.version ?? "2.73.0",
  });
}

/** Whether it may be the name of a configuration, which is a file's without its ending. */
export function isConfigName(name: string): boolean {
  return /^[^\s/\\\0]+$/.test(name);
}
