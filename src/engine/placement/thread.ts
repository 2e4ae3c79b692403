import { ServableError, messageOf } from "../../errors.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { Logger } from "../../service/service.ts";
import type { WorkerEvent } from "../observer.ts";
import type { ResolvedPolicy } from "../policy.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { RestartPolicy } from "./restart-policy.ts";
import { WorkerThread } from "./worker-thread.ts";

/** What a {@link ThreadPlacement} is made of. */
export interface ThreadPlacementOptions {
  readonly service: string;
  readonly spec: LoaderSpec;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
}

interface Slot {
  readonly index: number;
  readonly restarts: RestartPolicy;
  /** The thread that takes requests; undefined while there is none. */
  worker: WorkerThread | undefined;
  /** Why there is none. */
  reason: string | undefined;
  /** Whether it crashed too often to be started again. */
  givenUp: boolean;
}

/** A request that found no thread. */
interface Waiting {
  readonly take: (worker: WorkerThread) => void;
  readonly refuse: (error: ServableError) => void;
}

/** Runs a service on worker threads, each with an instance of its own. Crashed threads are replaced. */
export class ThreadPlacement implements ServicePlacement {
  readonly #options: ThreadPlacementOptions;
  readonly #slots: readonly Slot[];
  /** Requests that found no thread and wait for the next one. */
  readonly #waiting = new Set<Waiting>();
  readonly #starting = new Set<WorkerThread>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #begun = false;
  #stopping = false;

  constructor(options: ThreadPlacementOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.policy.workers }, (_, index) => ({
      index,
      restarts: new RestartPolicy(),
      worker: undefined,
      reason: "starting",
      givenUp: false,
    }));
  }

  async start(): Promise<void> {
    const results = await Promise.allSettled(this.#slots.map((slot) => this.#startSlot(slot)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    this.#begun = true;
  }

  run(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    const worker = this.#leastBusy();
    return worker === undefined ? this.#runLater(request, context) : worker.call(request, context);
  }

  status(): PlacementStatus {
    const missing = this.#slots.filter(({ worker }) => worker === undefined);
    const [first] = missing;
    return {
      placement: "thread",
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

  #leastBusy(): WorkerThread | undefined {
    let best: WorkerThread | undefined;
    for (const { worker } of this.#slots) {
      if (worker !== undefined && (best === undefined || worker.inFlight < best.inFlight)) best = worker;
    }
    return best;
  }

  async #runLater(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    const worker = await new Promise<WorkerThread>((resolve, reject) => {
      if (this.#lost) {
        reject(this.#noWorkerLeft());
        return;
      }
      const waiting: Waiting = { take: resolve, refuse: reject };
      context.onAbort = (error) => {
        this.#waiting.delete(waiting);
        reject(error);
      };
      this.#waiting.add(waiting);
    }).finally(() => {
      context.onAbort = undefined;
    });
    context.throwIfAborted();
    return worker.call(request, context);
  }

  /** Whether no thread is there and none will come. */
  get #lost(): boolean {
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

  async #startSlot(slot: Slot): Promise<void> {
    const { service, spec, policy, log } = this.#options;
    const since = performance.now();
    let ready = false;
    const worker = new WorkerThread({ service, spec, maxBodyBytes: policy.maxBodyBytes }, log, (reason) => {
      this.#starting.delete(worker);
      if (slot.worker === worker) slot.worker = undefined;
      // One that never got ready at the first start is told by `start` instead.
      if (!this.#stopping && (ready || this.#begun)) this.#crashed(slot, worker, reason);
    });
    this.#starting.add(worker);
    await worker.ready();
    this.#starting.delete(worker);
    ready = true;
    slot.worker = worker;
    slot.reason = undefined;
    this.#options.onChange({ service, worker: slot.index, change: "ready", startMs: performance.now() - since });
    for (const { take } of this.#waiting) take(worker);
    this.#waiting.clear();
  }

  #crashed(slot: Slot, worker: WorkerThread, reason: string): void {
    const { service, onChange, log } = this.#options;
    onChange({ service, worker: slot.index, change: "crashed", reason });
    const decision = slot.restarts.decide(worker.finishedARequest, performance.now());
    if (!decision.restart) {
      slot.givenUp = true;
      if (this.#lost) this.#refuseWaiting();
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
