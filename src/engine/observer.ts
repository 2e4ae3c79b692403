import type { BatchEvent } from "./batching/dynamic-batcher.ts";
import type { ErrorCode, ServableError } from "../errors.ts";
import type { StageTime } from "../service/call-context.ts";
import type { Logger } from "../service/service.ts";

/** How one request ended. One event for each, refused ones too. */
export interface RequestEvent {
  /** undefined where the request named no service that exists. */
  readonly service: string | undefined;
  readonly requestId: string;
  readonly outcome: "ok" | ErrorCode;
  readonly error: ServableError | undefined;
  /** `queue`, `deserialize`, `validate`, `call`, `serialize`, and what the service timed itself. */
  readonly stages: readonly StageTime[];
  /** When it came, in milliseconds since the epoch, to the microsecond. */
  readonly startedAt: number;
  /** From admission to the last byte handed over, in milliseconds. */
  readonly totalMs: number;
  /** How many items a stream had; undefined where the answer was one value. */
  readonly items: number | undefined;
  /** What the client sent along (HTTP headers, without those that prove who it is); nothing where the request was refused. */
  metadata(): Readonly<Record<string, string>>;
}

/** Something that happened to a worker. */
export interface WorkerEvent {
  readonly service: string;
  readonly worker: number;
  readonly change: "warmed_up" | "ready" | "crashed" | "restarting" | "crash_loop" | "stopped";
  /** From start to ready, in milliseconds. */
  readonly startMs?: number | undefined;
  /** How long its warm-up requests took, in milliseconds. */
  readonly warmupMs?: number | undefined;
  readonly reason?: string | undefined;
}

/** A batch that a model has run. */
export interface BatchRunEvent extends BatchEvent {
  readonly service: string;
}

/** Sees what the engine does; telemetry is made of these. An observer must not throw. */
export interface Observer {
  /** A request has ended, or was refused. */
  requestFinished?(event: RequestEvent): void;
  /** A model has run a batch. */
  batchRun?(event: BatchRunEvent): void;
  /** A worker has started, crashed or stopped. */
  workerChanged?(event: WorkerEvent): void;
}

/** What the engine needs of its surroundings to log. */
export interface EngineLogger extends Logger {
  /** A logger whose lines carry these fields, too. */
  child(fields: Readonly<Record<string, unknown>>): EngineLogger;
  /** Whether lines of a level are written; where it is not told, they are made. */
  isLevelEnabled?(level: string): boolean;
}
