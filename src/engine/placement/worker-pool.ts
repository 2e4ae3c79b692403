import { ServableError, messageOf } from "../../errors.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { Logger } from "../../service/service.ts";
import type { WorkerEvent } from "../observer.ts";
import type { PlacementStatus } from "./placement.ts";
import { RestartPolicy } from "./restart-policy.ts";
import type { WorkerKind } from "./worker-link.ts";

/** One worker of a pool. */
export interface PoolWorker {
  /** What runs in it. */
  readonly inFlight: number;
  /** Whether it ever finished something, which tells a crash in use from a crash at birth. */
  readonly finishedARequest: boolean;
  /** Whether it is to get no more for now. */
  readonly blocked: boolean;
  /** Whether it was killed for a run that would not stop, which is no crash of its own. */
  readonly killed: boolean;
  /** How long its warm-up took; undefined where it had none. */
  readonly warmupMs: number | undefined;
  /** Resolves when it takes requests. */
  ready(): Promise<void>;
  stop(): Promise<void>;
}

/** What a {@link WorkerPool} is made of. */
export interface WorkerPoolOptions<W extends PoolWorker> {
  readonly service: string;
  readonly kind: WorkerKind;
  readonly workers: number;
  /** The number of the first of them, where the service has others. @default 0 */
  readonly firstIndex?: number | undefined;
  /** Starts one worker. */
  create(onExit: (reason: string) => void, index: number): W;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
  /** Called before a worker that was set up takes requests. */
  readonly prepare?: ((worker: W) => Promise<void>) | undefined;
  /** Called when a worker has become ready. */
  readonly onReady?: (() => void) | undefined;
}

interface Slot<W> {
  readonly index: number;
  readonly restarts: RestartPolicy;
  /** The one that takes requests; undefined while there is none. */
  worker: W | undefined;
  /** Why there is none. */
  reason: string | undefined;
  /** Whether it crashed too often to be started again. */
  givenUp: boolean;
}

/** A request that found no worker. */
interface Waiting<W> {
  readonly take: (worker: W) => void;
  readonly refuse: (error: ServableError) => void;
}

const restartNow = { restart: true, delayMs: 0 } as const;

/** A fixed number of workers of one kind. Crashed ones are replaced; one that crashes again and again is not. */
export class WorkerPool<W extends PoolWorker> {
  readonly #options: WorkerPoolOptions<W>;
  readonly #slots: readonly Slot<W>[];
  /** Requests that found no worker and wait for the next one. */
  readonly #waiting = new Set<Waiting<W>>();
  readonly #starting = new Set<W>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #begun = false;
  #stopping = false;

  constructor(options: WorkerPoolOptions<W>) {
    this.#options = options;
    this.#slots = Array.from({ length: options.workers }, (_, index) => ({
      index: (options.firstIndex ?? 0) + index,
      restarts: new RestartPolicy(),
      worker: undefined,
      reason: "starting",
      givenUp: false,
    }));
  }

  async start(): Promise<void> {
    if (this.#stopping) throw this.#noWorkerLeft();
    const results = await Promise.allSettled(this.#slots.map((slot) => this.#startSlot(slot)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    this.#begun = true;
  }

  /** How many workers are ready and have nothing to do. */
  idle(): number {
    let count = 0;
    for (const { worker } of this.#slots) if (worker?.inFlight === 0 && !worker.blocked) count += 1;
    return count;
  }

  /** What runs in all of them. */
  get inFlight(): number {
    return this.#slots.reduce((sum, { worker }) => sum + (worker?.inFlight ?? 0), 0);
  }

  status(): PlacementStatus {
    const missing = this.#slots.filter(({ worker }) => worker === undefined);
    const [first] = missing;
    return {
      placement: this.#options.kind,
      ready: this.#slots.length - missing.length,
      total: this.#slots.length,
      reason: first && `worker ${first.index}: ${first.reason ?? "not started"}`,
    };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#refuseWaiting();
    for (const timer of this.#timers) clearTimeout(timer);
    const workers = [...this.#starting, ...this.#slots.flatMap(({ worker }) => worker ?? [])];
    await Promise.all(workers.map((worker) => worker.stop()));
  }

  /** All that are ready. */
  workers(): readonly W[] {
    return this.#slots.flatMap(({ worker }) => worker ?? []);
  }

  /** To be called when a worker is not `blocked` any more. */
  workerFreed(): void {
    const worker = this.leastBusy();
    if (worker !== undefined) this.#handOver(worker);
  }

  /** The ready worker with the least to do; undefined while there is none. */
  leastBusy(): W | undefined {
    let best: W | undefined;
    for (const { worker } of this.#slots) {
      if (worker !== undefined && !worker.blocked && (best === undefined || worker.inFlight < best.inFlight)) best = worker;
    }
    return best;
  }

  /** The next worker that becomes ready. @throws ServableError `not_ready` where none will come, or why the call was aborted */
  async next(context: CallContext): Promise<W> {
    let forget: () => void = () => undefined;
    const worker = await new Promise<W>((resolve, reject) => {
      if (this.lost) {
        reject(this.#noWorkerLeft());
        return;
      }
      const waiting: Waiting<W> = { take: resolve, refuse: reject };
      const onAbort = (error: ServableError): void => {
        this.#waiting.delete(waiting);
        reject(error);
      };
      forget = () => {
        context.unwatchAbort(onAbort);
      };
      context.watchAbort(onAbort);
      this.#waiting.add(waiting);
    }).finally(() => {
      forget();
    });
    context.throwIfAborted();
    return worker;
  }

  /** Whether no worker is there and none will come. */
  get lost(): boolean {
    return this.#stopping || this.#slots.every(({ givenUp }) => givenUp);
  }

  #noWorkerLeft(): ServableError {
    const what = `Service '${this.#options.service}' has no worker left`;
    // Of what was given up nobody knows when it will be back.
    if (!this.#stopping) return new ServableError("not_ready", `${what}: they crashed again and again.`);
    return new ServableError("not_ready", `${what}: the server is shutting down. Try again soon.`, { retryAfterMs: 1_000 });
  }

  #refuseWaiting(): void {
    for (const { refuse } of this.#waiting) refuse(this.#noWorkerLeft());
    this.#waiting.clear();
  }

  #handOver(worker: W): void {
    for (const { take } of this.#waiting) take(worker);
    this.#waiting.clear();
  }

  async #startSlot(slot: Slot<W>): Promise<void> {
    const { service } = this.#options;
    const since = performance.now();
    let ready = false;
    let gone = false;
    const worker = this.#options.create((reason) => {
      gone = true;
      this.#starting.delete(worker);
      if (slot.worker === worker) slot.worker = undefined;
      // One that never got ready at the first start is told by `start` instead.
      if (!this.#stopping && (ready || this.#begun)) this.#crashed(slot, worker, reason);
    }, slot.index);
    this.#starting.add(worker);
    await worker.ready();
    await this.#options.prepare?.(worker);
    // It died while it was prepared, and its exit has decided what comes next.
    if (gone as boolean) return;
    this.#starting.delete(worker);
    ready = true;
    slot.worker = worker;
    slot.reason = undefined;
    this.#options.onChange({ service, worker: slot.index, change: "ready", startMs: performance.now() - since, warmupMs: worker.warmupMs });
    this.#handOver(worker);
    this.#options.onReady?.();
  }

  #crashed(slot: Slot<W>, worker: W, reason: string): void {
    const { service, onChange, log } = this.#options;
    onChange({ service, worker: slot.index, change: "crashed", reason });
    const decision = worker.killed ? restartNow : slot.restarts.decide(worker.finishedARequest, performance.now());
    if (!decision.restart) {
      slot.givenUp = true;
      if (this.lost) this.#refuseWaiting();
      slot.reason = `crash loop, not started again: ${reason}`;
      onChange({ service, worker: slot.index, change: "crash_loop", reason });
      return;
    }
    slot.reason = `crashed, starting again: ${reason}`;
    onChange({ service, worker: slot.index, change: "restarting", reason });
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#startSlot(slot).catch((thrown: unknown) => {
        // Its exit, which follows, decides what comes next.
        log.error({ worker: slot.index, reason: messageOf(thrown) }, "worker did not start");
      });
    }, decision.delayMs);
    this.#timers.add(timer);
  }
}
