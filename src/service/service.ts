import { ServableError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import type { Gather } from "./batcher.ts";
import type { Logger } from "./logger.ts";
import type { MaybePromise } from "./maybe-promise.ts";
import type { ModelPlace } from "./model-loader.ts";

export type { Logger, LogMethod } from "./logger.ts";
export type { MaybePromise } from "./maybe-promise.ts";

/** What `call` may give: one value, a promise of it, or a stream of values. */
export type CallResult<O> = MaybePromise<O> | MaybePromise<AsyncIterable<O>>;

/** What a service knows about the request that it answers. */
export interface ServiceContext {
  /** Aborted when the client goes away, the deadline passes, or the runtime shuts down. */
  readonly signal: AbortSignal;
  /** When the answer is due, in milliseconds since the epoch; `Infinity` where there is none. */
  readonly deadline: number;
  /** Names this request in logs, errors and responses. */
  readonly requestId: string;
  /** A logger whose lines carry the service and the request id. */
  readonly log: Logger;
  /** What came beside the body: over HTTP the headers, lower case, without credentials. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Times a part of the call. The time appears under this name in the request's log line and in the metrics, so choose names
   * from a small fixed set.
   */
  readonly stage: <T>(name: string, work: () => T) => T;
}

/** What `setup` gets. */
export interface SetupContext {
  /** Aborted when the runtime stops before the service is ready. */
  readonly signal: AbortSignal;
  /** The model, where the engine has placed it apart from the service; undefined where the service loads it itself. */
  readonly model?: Model | undefined;
  /** Runs requests on that model, put together by a batcher; defined where `model` is. */
  readonly gather?: Gather | undefined;
  /** Which worker of the service this is, and its device. */
  readonly place?: ModelPlace | undefined;
  /** A logger whose lines carry the service. */
  readonly log: Logger;
}

const marker = Symbol.for("servable.service");

/**
 * WHAT runs: one typed function, `call`, with no state kept between calls, so that it can be placed on any number of threads,
 * processes and machines.
 *
 * @example
 * ```ts
 * import { Service } from "servable";
 *
 * export class Shout extends Service<string, string> {
 *   static readonly definition = { name: "shout" } as const;
 *   readonly #mark: string;
 *   constructor(mark = "!") {
 *     super();
 *     this.#mark = mark;
 *   }
 *   override call(text: string): string {
 *     return text.toUpperCase() + this.#mark;
 *   }
 * }
 * ```
 */
export abstract class Service<I = unknown, O = unknown> {
  static {
    // Recognises services of another installed copy of this package, where `instanceof` fails.
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  constructor() {
    // Plain JavaScript knows no abstract classes.
    if (new.target === Service)
      throw new ServableError(
        "invalid_config",
        "Service itself answers nothing: extend it by a class with a method `call`, or use defineService.",
      );
  }

  /** Answers one request. */
  abstract call(request: I, context: ServiceContext): CallResult<O>;

  /** Loads what the service needs; runs once per place where it runs, before the first call. */
  setup?(context: SetupContext): MaybePromise<void>;

  /** Frees what `setup` took; runs once per place, after the last call. */
  close?(): MaybePromise<void>;
}

/** Whether a value is an instance of a {@link Service}. */
export function isService(value: unknown): value is Service {
  return typeof value === "object" && value !== null && marker in value;
}

/** Whether a value is a class of services. */
export function isServiceClass(value: unknown): value is new (...args: never[]) => Service {
  return typeof value === "function" && isService(value.prototype);
}

/** Whether a value is an async iterable. */
export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
