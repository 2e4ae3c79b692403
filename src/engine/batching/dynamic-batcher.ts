import { ServableError } from "../../errors.ts";
import { checkAnswers } from "../../service/batcher.ts";
import { misfit } from "../../service/misfit.ts";
import type { ResolvedBatchPolicy } from "./batch-policy.ts";
import type { Caller } from "./caller.ts";
import { systemClock, type Clock } from "./clock.ts";
import { ItemQueue, type QueuedItem } from "./item-queue.ts";

/** Why a batch left. */
export type LeaveReason = "full" | "preferred" | "delay" | "idle" | "shape" | "alone";

/** One batch that was run. */
export interface BatchEvent {
  readonly rows: number;
  readonly requests: number;
  readonly reason: LeaveReason;
  /** How long its oldest request had waited. */
  readonly queueMs: number;
  readonly runMs: number;
  readonly failed: boolean;
}

/** A batch while it runs. */
export interface RunningBatch {
  /** Told when nobody waits for any of its requests any more; whoever runs the batch sets it. */
  onGivenUp: (() => void) | undefined;
  /**
   * To be called where time has passed since the batch left: one that nobody waits for any more is not to be run.
   *
   * @throws ServableError `cancelled` or `deadline_exceeded` when all its requests are given up or late
   */
  checkWanted(): void;
}

/** What a {@link DynamicBatcher} stands between. */
export interface BatcherOptions<I, O> {
  readonly policy: ResolvedBatchPolicy;
  /** How many rows a request has. */
  rowsOf(input: I): number;
  /** Requests of one key can be put together. */
  keyOf(input: I): string;
  /** How many more batches can be started now. */
  idle(): number;
  /** How many requests may still come here before one that is here is answered: with none, waiting gains nothing. */
  expected(): number;
  /** Runs a batch; gives one output for each input, in order. */
  run(inputs: readonly I[], batch: RunningBatch): Promise<readonly O[]>;
  readonly onBatch?: ((event: BatchEvent) => void) | undefined;
  /** Told when a batch is over, one that was not run for want of takers included. */
  readonly onDone?: (() => void) | undefined;
  /** @default the real time */
  readonly clock?: Clock | undefined;
}

/** What is known of one request. */
export interface SubmitOptions {
  /** Lower numbers go first. @default 0 */
  readonly priority?: number | undefined;
  /** When its answer is due, on the batcher's clock. @default never */
  readonly deadline?: number | undefined;
  /** Who tells when nobody wants the answer any more. */
  readonly caller?: Caller | undefined;
}

/**
 * Puts requests together into batches, and keeps what happens to one from the others. A batch leaves when a worker is idle and it is full,
 * has a preferred size, has waited long enough, or would gain nothing by waiting. While every worker is busy, what arrives
 * gathers by itself.
 */
export class DynamicBatcher<I, O> {
  readonly #options: BatcherOptions<I, O>;
  readonly #clock: Clock;
  readonly #queue = new ItemQueue<I, O>();
  #running = 0;
  #scheduled = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: BatcherOptions<I, O>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#queue.size;
  }
  /** Requests that wait or run. */
  get inside(): number {
    return this.#queue.size + this.#running;
  }

  /**
   * Queues one request.
   *
   * @throws ServableError `invalid_request` for more rows than a batch may have; `service_failed` for rows or a key that is none; `deadline_exceeded` or `cancelled`, unrun, when its time
   * came first; else what its own run throws
   */
  submit(input: I, options: SubmitOptions = {}): Promise<O> {
    const rows = this.#options.rowsOf(input);
    const key = this.#options.keyOf(input);
    // One that is no number would spoil the count of all that wait.
    if (!Number.isSafeInteger(rows) || rows < 0) throw misfit("rows", "a whole number, from 0 on", rows);
    if (typeof key !== "string") throw misfit("key", "a text", key);
    const { maxRows } = this.#options.policy;
    if (rows > maxRows && maxRows > 1) {
      throw new ServableError("invalid_request", `One request may have at most ${maxRows} rows; this one has ${rows}.`);
    }
    const { caller } = options;
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a caller's reason is handed on as it is
    if (caller?.abortReason !== undefined) return Promise.reject(caller.abortReason);
    return new Promise((resolve, reject) => {
      const item = new Item(this.#queue, { input, rows, key, enqueuedAt: this.#clock.now() }, options);
      item.settleWith(resolve, reject);
      this.#queue.add(item);
      this.#schedule();
    });
  }

  /** To be called when a worker is idle again. */
  workerFreed(): void {
    this.#pump();
  }

  /** To be called when fewer are expected than before: what waits may wait for nobody. */
  fewerExpected(): void {
    if (this.#cancelTimer !== undefined) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#clock.soon(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    while (this.#options.idle() > 0) {
      this.#dropLate();
      const candidate = this.#queue.candidate(this.#options.policy.maxRows);
      const [oldest] = candidate.items;
      if (oldest === undefined) return;
      const waited = this.#clock.now() - Math.min(...candidate.items.map(({ enqueuedAt }) => enqueuedAt));
      const reason = this.#reasonToLeave(candidate.rows, candidate.closedBy, oldest.alone, waited);
      if (reason === undefined) {
        this.#cancelTimer = this.#clock.after(this.#options.policy.maxDelayMs - waited, () => {
          this.#pump();
        });
        return;
      }
      for (const item of candidate.items) this.#queue.delete(item);
      void this.#run(candidate.items, candidate.rows, reason, waited);
    }
  }

  #reasonToLeave(rows: number, closedBy: "rows" | "key" | undefined, alone: boolean, waited: number): LeaveReason | undefined {
    const { maxRows, maxDelayMs, preferredRows } = this.#options.policy;
    if (alone) return "alone";
    if (rows >= maxRows || closedBy === "rows") return "full";
    if (preferredRows.has(rows)) return "preferred";
    if (closedBy === "key") return "shape";
    if (waited >= maxDelayMs) return maxDelayMs === 0 ? "idle" : "delay";
    return this.#options.expected() > 0 ? undefined : "idle";
  }

  #dropLate(): void {
    const now = this.#clock.now();
    for (const item of this.#queue.takeLate(now)) {
      item.reject(lateError());
    }
  }

  async #run(items: readonly QueuedItem<I, O>[], rows: number, reason: LeaveReason, queueMs: number): Promise<void> {
    const since = this.#clock.now();
    this.#running += items.length;
    const batch = new Batch(items, this.#clock);
    let failed = false;
    try {
      const outputs = await this.#options.run(
        items.map(({ input }) => input),
        batch,
      );
      checkAnswers(outputs, items.length);
      items.forEach((item, index) => {
        item.resolve(outputs[index] as O);
      });
    } catch (thrown) {
      failed = true;
      this.#retryAlone(items, thrown);
    }
    this.#running -= items.length;
    if (!batch.wasDropped) {
      this.#options.onBatch?.({ rows, requests: items.length, reason, queueMs, runMs: this.#clock.now() - since, failed });
    }
    this.#options.onDone?.();
    // Who is answered makes room for others, and some may have arrived that this turn has not come to yet: they make the next batch fuller.
    const { maxDelayMs, maxRows } = this.#options.policy;
    if (maxDelayMs > 0 || this.#queue.rows < maxRows) this.#schedule();
    else this.#pump();
  }

  /** Which of them made the batch fail nobody knows, so each runs again by itself; a crash fails what was in flight. */
  #retryAlone(items: readonly QueuedItem<I, O>[], thrown: unknown): void {
    const crashed = ServableError.isInstance(thrown) && thrown.code === "worker_crashed";
    if (items.length === 1 || crashed) {
      for (const item of items) item.reject(thrown);
      return;
    }
    for (const item of items) {
      item.alone = true;
      // What happens to it now is no longer the failed batch's business.
      item.onCancel = undefined;
    }
    this.#queue.addFirst(items.filter(({ cancelled }) => !cancelled));
  }
}

type ItemInit<I> = Pick<QueuedItem<I, never>, "input" | "rows" | "key" | "enqueuedAt">;

/** One request from its coming to its answer. A class, so that a request costs few closures. */
class Item<I, O> implements QueuedItem<I, O> {
  readonly input: I;
  readonly rows: number;
  readonly key: string;
  readonly enqueuedAt: number;
  readonly priority: number;
  readonly deadline: number;
  alone = false;
  cancelled = false;
  onCancel: (() => void) | undefined;
  place: QueuedItem<I, O>["place"];
  readonly #queue: ItemQueue<I, O>;
  readonly #caller: Caller | undefined;
  #onAbort: ((reason: unknown) => void) | undefined;
  #resolve: ((output: O) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;

  constructor(queue: ItemQueue<I, O>, { input, rows, key, enqueuedAt }: ItemInit<I>, { priority, deadline, caller }: SubmitOptions) {
    this.input = input;
    this.rows = rows;
    this.key = key;
    this.enqueuedAt = enqueuedAt;
    this.priority = priority ?? 0;
    this.deadline = deadline ?? Infinity;
    this.#queue = queue;
    this.#caller = caller;
    if (caller === undefined) return;
    this.#onAbort = (reason) => {
      this.#abort(reason);
    };
    caller.watchAbort(this.#onAbort);
  }

  /** Says who is told of the answer. */
  settleWith(resolve: (output: O) => void, reject: (reason: unknown) => void): void {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  resolve(output: O): void {
    this.#forget();
    this.#resolve?.(output);
  }

  reject(reason: unknown): void {
    this.#forget();
    this.#reject?.(reason);
  }

  /** A queued one leaves; a running one keeps its place in the batch, and nobody reads its output. */
  #abort(reason: unknown): void {
    this.cancelled = true;
    this.#queue.delete(this);
    this.onCancel?.();
    this.#reject?.(reason);
  }

  /** A caller may outlive the request, and make many. */
  #forget(): void {
    if (this.#onAbort !== undefined) this.#caller?.unwatchAbort(this.#onAbort);
    this.#onAbort = undefined;
  }
}

/** What whoever runs a batch sees of it, and may ask. */
class Batch<I, O> implements RunningBatch {
  onGivenUp: (() => void) | undefined;
  /** Whether it was found out that nobody waits for it, before it was run. */
  wasDropped = false;
  readonly #items: readonly QueuedItem<I, O>[];
  readonly #clock: Clock;

  constructor(items: readonly QueuedItem<I, O>[], clock: Clock) {
    this.#items = items;
    this.#clock = clock;
    let wanted = items.length;
    const onCancel = (): void => {
      wanted -= 1;
      if (wanted === 0) this.onGivenUp?.();
    };
    for (const item of items) item.onCancel = onCancel;
  }

  checkWanted(): void {
    const left = this.#items.filter(({ cancelled }) => !cancelled);
    const now = this.#clock.now();
    if (left.some(({ deadline }) => deadline > now)) return;
    this.wasDropped = true;
    if (left.length > 0) throw lateError();
    throw new ServableError("cancelled", "Nobody waits for the batch any more.");
  }
}

function lateError(): ServableError {
  return new ServableError("deadline_exceeded", "The request's time was over before its turn came.");
}
