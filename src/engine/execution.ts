import { ServableError } from "../errors.ts";
import type { CallContext, StageTime } from "../service/call-context.ts";
import type { EncodedRequest, EncodedResponse, EncodedStream } from "../service/full-service.ts";
import { isAsyncIterable, type CallResult, type MaybePromise } from "../service/service.ts";
import { chain } from "../service/chain.ts";
import { stageFailure } from "../service/checked-call.ts";
import type { Deadlines, Due, DueList } from "./deadlines.ts";
import type { Gate, Waiter } from "./gate.ts";
import type { ListPlace } from "./linked-list.ts";

/** Where an execution runs its request. */
export interface ExecutionHost {
  readonly service: string;
  readonly gate: Gate;
  readonly deadlines: Deadlines<Execution>;
  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse>;
  /** Runs a value as it is. @throws ServableError `unsupported` where the service runs elsewhere */
  call(value: unknown, context: CallContext): CallResult<unknown>;
  finished(execution: Execution, error: ServableError | undefined): void;
  /** The work has stopped and the place is free. */
  left(): void;
}

/** The answer to a value that was run as it is; a stream of values comes as an `EncodedStream` does. */
interface PlainValue {
  readonly kind: "plain";
  readonly value: unknown;
}
interface PlainStream {
  readonly kind: "stream";
  readonly mediaType: undefined;
  readonly items: AsyncIterable<unknown>;
}
type Answer = EncodedResponse | PlainValue | PlainStream;
/** What is to be run: bytes for the service's handlers, or a value as it is. */
type Work = { readonly encoded: EncodedRequest } | { readonly value: unknown };

type State = "admitted" | "queued" | "running" | "settled";

/**
 * One admitted request, from admission to its last byte: its place, its slot, its deadline and its cancellation. Whoever holds
 * it calls `run` once, or `fail` if the request never gets that far.
 */
export class Execution implements Waiter, Due<Execution> {
  readonly context: CallContext;
  readonly startedAt: number;
  /** Items streamed so far; undefined where the answer is one value. */
  items: number | undefined;
  /** Told once when the request fails before or while it runs; a front uses it to stop reading a body. */
  onFail: ((error: ServableError) => void) | undefined;
  dueAt = 0;
  dueList: DueList<Execution> | undefined;
  dueBefore: Execution | undefined;
  dueAfter: Execution | undefined;
  place: ListPlace<Waiter> | undefined;

  readonly #host: ExecutionHost;
  readonly #timeoutMs: number;
  #state: State = "admitted";
  /** Whether the service still works on it: its slot stays taken, even if the answer is settled. */
  #working = false;
  #work: Work | undefined;
  #queuedAt = 0;
  #isAtOnce = false;
  #slotSince = 0;
  /** A stream that was handed on and not yet begun. */
  #unread: EncodedStream | PlainStream | undefined;
  /** A stream of which the reader holds an item, and may never ask for the next one. */
  #held: AsyncIterator<unknown> | undefined;
  #finishing = false;
  #resolve: ((response: Answer) => void) | undefined;
  #reject: ((error: ServableError) => void) | undefined;

  constructor(host: ExecutionHost, context: CallContext, timeoutMs: number, now: number = performance.now()) {
    this.startedAt = now;
    this.#host = host;
    this.context = context;
    this.#timeoutMs = timeoutMs;
    host.deadlines.set(this, timeoutMs, this.startedAt);
  }

  get service(): string {
    return this.#host.service;
  }
  get requestId(): string {
    return this.context.requestId;
  }
  get stages(): readonly StageTime[] {
    return this.context.stages;
  }
  /** Whether the service works on it now. */
  get begun(): boolean {
    return this.#working;
  }
  get settled(): boolean {
    return this.#state === "settled";
  }

  /**
   * Runs the request when a slot is free.
   *
   * @returns the answer; of a stream, its items under the deadline (until the first, then from one to the next)
   * @throws ServableError `deadline_exceeded`, `cancelled`, `worker_crashed`, or what the stage that failed says
   */
  run(request: EncodedRequest): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      this.submit(request, resolve, reject);
    });
  }

  /** As `run`, for who can do without a promise: exactly one of the two is called, perhaps before this returns. */
  submit(request: EncodedRequest, resolve: (response: EncodedResponse) => void, reject: (error: ServableError) => void): void {
    // To bytes a service answers with bytes.
    this.#enqueue({ encoded: request }, resolve as (response: Answer) => void, reject);
  }

  /**
   * As `run`, past handlers and schemas: for a request that is in memory already, on a service whose own stages run on this thread.
   *
   * @returns what the service gives; a stream under the deadline, as from `run`
   */
  call(value: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const answered = (answer: Answer): void => {
        resolve(answer.kind === "plain" ? answer.value : answer.kind === "stream" ? answer.items : answer.body);
      };
      this.#enqueue({ value }, answered, reject);
    });
  }

  #enqueue(work: Work, resolve: (response: Answer) => void, reject: (error: ServableError) => void): void {
    if (this.#state !== "admitted") {
      reject(this.context.abortReason ?? new ServableError("internal", "The request was run twice."));
      return;
    }
    this.#resolve = resolve;
    this.#reject = reject;
    this.#state = "queued";
    this.#work = work;
    this.#queuedAt = this.context.begin("queue");
    // Where a slot is free, it starts within.
    this.#isAtOnce = true;
    this.#host.gate.acquire(this);
    this.#isAtOnce = false;
  }

  /** Called by the gate, with the slot taken. */
  start(): void {
    const now = this.context.record("queue", this.#queuedAt, this.#isAtOnce ? this.#queuedAt : undefined);
    if (now >= this.dueAt) {
      // A loop that was kept busy hears of timers too late.
      this.expire();
      this.#host.gate.pass();
      return;
    }
    this.#slotSince = now;
    // Placed here, the service tells its stages itself; of one placed elsewhere this is all that is known if it is cut off.
    this.context.handOn(now);
    this.#state = "running";
    this.#working = true;
    const work = this.#work;
    this.#work = undefined;
    if (work === undefined) return;
    let response: MaybePromise<Answer>;
    try {
      response = "encoded" in work ? this.#host.run(work.encoded, this.context) : chain(this.#host.call(work.value, this.context), plain);
    } catch (thrown) {
      this.#stopped(thrown);
      return;
    }
    if (response instanceof Promise) {
      response.then(
        (value) => {
          this.#answered(value);
        },
        (thrown: unknown) => {
          this.#stopped(thrown);
        },
      );
    } else {
      this.#answered(response);
    }
  }

  /** The client went away. */
  cancel(): void {
    this.fail(new ServableError("cancelled", "The client went away before the answer was ready."));
  }

  /** Ends the request with an error: a queued one leaves the queue, a running one gets its signal and keeps its slot until it stops. */
  fail(error: ServableError): void {
    if (this.#state === "settled") return;
    const wasQueued = this.#state === "queued" && this.#host.gate.forsake(this);
    this.context.recordOpen();
    this.context.abort(error);
    this.#settle(error);
    this.#refuse(error);
    this.onFail?.(error);
    if (wasQueued || !this.#working) this.#leave(false);
    else this.#dropStream();
  }

  #answered(response: Answer): void {
    if (response.kind === "stream") {
      this.#unread = response;
      if (this.#state === "settled") this.#dropStream();
      else if (response.mediaType === undefined) this.#answer({ ...response, items: this.#watch(response) });
      else this.#answer({ ...response, items: this.#watch(response) });
      return;
    }
    this.#working = false;
    if (this.#state !== "settled") {
      this.#settle(undefined);
      this.#answer(response);
    }
    this.#leave(true);
  }

  #stopped(thrown: unknown): void {
    this.#working = false;
    if (this.#state !== "settled") {
      const error = this.#failure(thrown);
      this.#settle(error);
      this.#refuse(error);
    }
    this.#leave(true);
  }

  /** What the service threw has its code already; one of ours comes from the placement itself (a worker that crashed). */
  #failure(thrown: unknown): ServableError {
    const isOurs = ServableError.isInstance(thrown) && this.context.abortReason === undefined;
    return isOurs ? thrown : stageFailure("call", thrown, this.context);
  }

  /** Hands a stream on, the deadline running only while the service owes an item. */
  async *#watch<T>(stream: { readonly items: AsyncIterable<T> }): AsyncGenerator<T> {
    if (this.#unread === undefined) throw this.context.abortReason ?? new ServableError("internal", "The stream was read twice.");
    this.#unread = undefined;
    const iterator = stream.items[Symbol.asyncIterator]();
    let error: ServableError | undefined;
    let ended = false;
    this.items = 0;
    try {
      for (;;) {
        const next = await this.#orAbort(iterator.next());
        if (this.#state !== "settled") this.#rest();
        if (next.done === true) {
          ended = true;
          return;
        }
        // It may have been aborted after the item was made and before it arrived here.
        this.context.throwIfAborted();
        this.items += 1;
        this.#held = iterator;
        yield next.value;
        this.#held = undefined;
        this.context.throwIfAborted();
        this.#renewDeadline();
      }
    } catch (thrown) {
      error = this.#failure(thrown);
      throw error;
    } finally {
      if (!ended && error === undefined) {
        error = new ServableError("cancelled", "The client stopped reading the stream.");
        this.context.abort(error);
      }
      if (this.#state !== "settled") this.#settle(error);
      void this.#finish(iterator, ended);
    }
  }

  /** The service owes nothing until it is asked for the next item. */
  #rest(): void {
    this.#host.deadlines.rest(this);
    this.context.renewDeadline(Infinity);
  }

  #renewDeadline(): void {
    const now = performance.now();
    this.#host.deadlines.set(this, this.#timeoutMs, now);
    this.context.renewDeadline(now + this.#timeoutMs);
  }

  /** The iterator's own clean-up may take its time; the slot is held until it is through. */
  async #finish(iterator: AsyncIterator<unknown>, ended: boolean): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    try {
      if (!ended) await iterator.return?.();
    } catch {
      // Its failure is already told, or nobody is left to tell.
    }
    this.#working = false;
    this.#leave(true);
  }

  /** Ends a stream that nobody began to read, or whose reader holds an item. One that owes an item is ended where that is awaited. */
  #dropStream(): void {
    const iterator = this.#unread?.items[Symbol.asyncIterator]() ?? this.#held;
    this.#unread = undefined;
    this.#held = undefined;
    if (iterator !== undefined) void this.#finish(iterator, false);
  }

  #orAbort<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.onFail = reject;
      work.then(resolve, reject);
    });
  }

  #settle(error: ServableError | undefined): void {
    this.#state = "settled";
    this.#host.deadlines.clear(this);
    this.#host.finished(this, error);
  }

  #answer(response: Answer): void {
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    resolve?.(response);
  }

  #refuse(error: ServableError): void {
    const reject = this.#reject;
    this.#resolve = this.#reject = undefined;
    reject?.(error);
  }

  #leave(hadSlot: boolean): void {
    if (hadSlot) this.#host.gate.release(this.#slotSince, this.items === undefined);
    this.#host.gate.leave();
    this.#host.left();
  }

  expire(): void {
    const time = `${this.#timeoutMs} ms`;
    if (this.#state === "admitted") {
      this.fail(new ServableError("request_timeout", `The request's body did not arrive within ${time}.`));
    } else if (this.items !== undefined) {
      this.fail(new ServableError("deadline_exceeded", `The stream gave no item for ${time}.`));
    } else {
      this.fail(new ServableError("deadline_exceeded", `There was no answer within ${time}.`));
    }
  }
}

function plain(value: unknown): Answer {
  return isAsyncIterable(value) ? { kind: "stream", mediaType: undefined, items: value } : { kind: "plain", value };
}
