import type { GatheredRun } from "../service/batcher.ts";
import type { CallContext } from "../service/call-context.ts";
import { requestPrefix } from "../protocol/elements.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { InferParameter } from "../protocol/inference.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { Int64, ModelDynamicBatching, ModelQueuePolicy } from "../triton/model-config.ts";
import type { ModelRequest } from "./model-request.ts";
import type { RequestQueue } from "./request-queue.ts";

/** A time-out in the queue, which ends the wait or puts the request behind all others of its level. */
const delayed = Symbol("delayed");

/** The queue of one model: whose turn it is, how many may wait, and for how long, as its configuration says. */
export class ModelQueue implements RequestQueue {
  readonly #levels: number;
  readonly #defaultLevel: number;
  readonly #policies: ReadonlyMap<number, ModelQueuePolicy>;
  readonly #defaultPolicy: ModelQueuePolicy;
  readonly #ordered: boolean;
  readonly #waiting = new Map<number, number>();
  #run: GatheredRun<ModelRequest, NamedArrays> | undefined;
  /** Settles, and never fails, when the request that came last has its answer. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(batching: ModelDynamicBatching = {}) {
    this.#levels = Number(batching.priorityLevels ?? 0);
    this.#defaultLevel = Number(batching.defaultPriorityLevel ?? 0);
    this.#policies = new Map(Object.entries(batching.priorityQueuePolicy ?? {}).map(([level, policy]) => [Number(level), policy]));
    this.#defaultPolicy = batching.defaultQueuePolicy ?? {};
    this.#ordered = batching.preserveOrdering ?? false;
  }

  /** Says what runs the requests. */
  open(run: GatheredRun<ModelRequest, NamedArrays>): void {
    this.#run = run;
  }

  /** How many wait. */
  get waiting(): number {
    let sum = 0;
    for (const count of this.#waiting.values()) sum += count;
    return sum;
  }

  /**
   * Queues a request and runs it with others.
   *
   * @throws InferenceError `UNAVAILABLE` where its level is full, or its time in the queue over
   */
  submit(request: ModelRequest, context: CallContext): Promise<NamedArrays> {
    const run = this.#run;
    if (run === undefined) throw new InferenceError("UNAVAILABLE", "The model is not loaded yet.");
    const level = this.#levelOf(request.source.parameters.priority);
    const policy = this.#policies.get(level) ?? this.#defaultPolicy;
    const { maxQueueSize = 0 } = policy;
    const waiting = this.#waiting.get(level) ?? 0;
    if (maxQueueSize > 0 && waiting >= maxQueueSize) throw queueFull(request.source.id);
    request.level = level;
    request.queued = true;
    this.#waiting.set(level, waiting + 1);
    const timeoutMs = timeoutOf(policy, request.source.parameters.timeout);
    const outputs =
      timeoutMs === 0
        ? run(request, { context, priority: level })
        : this.#runInTime(run, request, context, timeoutMs, policy.timeoutAction);
    return this.#ordered ? this.#inOrder(outputs) : outputs;
  }

  /** To be called when a request has left the queue, for whatever reason. */
  left(request: ModelRequest): void {
    if (!request.queued) return;
    request.queued = false;
    this.#waiting.set(request.level, (this.#waiting.get(request.level) ?? 1) - 1);
  }

  async #runInTime(
    run: GatheredRun<ModelRequest, NamedArrays>,
    request: ModelRequest,
    context: CallContext,
    timeoutMs: number,
    action: ModelQueuePolicy["timeoutAction"],
  ): Promise<NamedArrays> {
    const aborter = new AbortController();
    const passOn = (reason: unknown): void => {
      aborter.abort(reason);
    };
    context.watchAbort(passOn);
    const timer = setTimeout(() => {
      if (request.queued) aborter.abort(action === "DELAY" ? delayed : lateInQueue());
    }, timeoutMs);
    try {
      return await run(request, { context, priority: request.level, signal: aborter.signal });
    } catch (thrown) {
      // Behind all of its own level, and before those of the next.
      if (thrown === delayed) return await run(request, { context, priority: request.level + 0.5 });
      throw thrown;
    } finally {
      clearTimeout(timer);
      context.unwatchAbort(passOn);
    }
  }

  /** Settles behind all that came before: not when their outputs are there, but when they were told. */
  #inOrder(outputs: Promise<NamedArrays>): Promise<NamedArrays> {
    const told = this.#last.then(() => outputs);
    this.#last = told.catch(() => undefined);
    // Whoever waits for `told` hears of a failure, only later.
    outputs.catch(() => undefined);
    return told;
  }

  #levelOf(asked: InferParameter | undefined): number {
    const level = Number(asked ?? 0);
    return level >= 1 && level <= this.#levels ? Math.trunc(level) : this.#defaultLevel;
  }
}

/** In milliseconds; 0 for none. A request may only shorten what there is, and only where it may. */
function timeoutOf(
  { defaultTimeoutMicroseconds = 0, allowTimeoutOverride = false }: ModelQueuePolicy,
  asked: InferParameter | undefined,
): number {
  const usual = toMs(defaultTimeoutMicroseconds);
  const own = allowTimeoutOverride && (typeof asked === "number" || typeof asked === "bigint") ? toMs(asked) : 0;
  return usual > 0 && own > 0 ? Math.min(usual, own) : usual;
}

const longestTimerMs = 2 ** 31 - 1;

function toMs(microseconds: Int64): number {
  return Math.min(Number(microseconds) / 1_000, longestTimerMs);
}

/** What a request is told for which there is no room. */
export function queueFull(id: string): InferenceError {
  return new InferenceError("UNAVAILABLE", `${requestPrefix(id)}Exceeds maximum queue size`);
}

function lateInQueue(): InferenceError {
  return new InferenceError("UNAVAILABLE", "Request timeout expired");
}
