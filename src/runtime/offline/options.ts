import type { Writable } from "node:stream";
import { ServableError } from "../../errors.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import { resolvePolicy } from "../../engine/policy.ts";
import type { ServiceSource } from "../../engine/service-source.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { AnyServiceDefinition, ServicePolicy } from "../../service/definition.ts";

/** What is run over a file, and how. */
export interface OfflineRuntimeOptions {
  /**
   * The service, which speaks JSON. Of its own policy not all holds, as no client waits: the deadline of a row is an hour unless the
   * policy given here says otherwise, and where nobody gives a `concurrency`, it is at least twice what fills a batch on every worker.
   */
  readonly service: ServiceSource;
  /** A file of newline-delimited JSON, or a stream of it. A run over a stream can't be gone on with. */
  readonly input: string | AsyncIterable<Uint8Array | string>;
  /** A file, or a stream; the stream is not ended. A run into a stream, a pipe or a device can't be gone on with. */
  readonly output: string | Writable;
  /** Begins anew, over whatever is in the output. @default false: goes on where a run of the same input and service was broken off */
  readonly restart?: boolean | undefined;
  /** How often the output is synced to its disk and the progress file renewed; 0 after every write. @default 1000 */
  readonly checkpointMs?: number | undefined;
  /** Time for rows in flight when the run is stopped. @default 30000 */
  readonly graceMs?: number | undefined;
  /** @default pino, to standard error, from warnings on */
  readonly log?: EngineLogger | undefined;
  /** See what the engine does, besides the log. */
  readonly observers?: readonly Observer[] | undefined;
}

/** Long enough for any row, and yet not for ever. */
const deadlineMs = 3_600_000;
const concurrency = 64;

const keys = {
  service: "needed",
  input: "needed",
  output: "needed",
  restart: true,
  checkpointMs: true,
  graceMs: true,
  log: true,
  observers: true,
} satisfies KeysOf<OfflineRuntimeOptions>;

/** The times, filled in. @throws ServableError `invalid_config` */
export function timesOf(options: OfflineRuntimeOptions): { readonly graceMs: number; readonly checkpointMs: number } {
  refuseUnknownKeys(options, keys, "OfflineRuntime");
  const time = (name: string, value: number): number => {
    if (Number.isFinite(value) && value >= 0) return value;
    throw new ServableError("invalid_config", `${name} must be 0 or more, not ${value}.`);
  };
  return { graceMs: time("graceMs", options.graceMs ?? 30_000), checkpointMs: time("checkpointMs", options.checkpointMs ?? 1_000) };
}

/**
 * The policy of an offline run. A row waits for others of its own run, not for strangers, so the service's deadline, which bounds that
 * wait, says nothing here.
 */
export function offlinePolicy(definition: AnyServiceDefinition, given: ServicePolicy = {}): ServicePolicy {
  const { workers, batching } = resolvePolicy(definition, given);
  return {
    ...given,
    deadlineMs: given.deadlineMs ?? deadlineMs,
    concurrency: given.concurrency ?? definition.policy.concurrency ?? Math.max(concurrency, 2 * workers * batching.maxRows),
  };
}
