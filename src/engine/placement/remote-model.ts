import { ServableError, errorFromData, type ErrorData } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { RunningBatch } from "../batching/dynamic-batcher.ts";
import { Slots } from "../slots.ts";
import { packArrays, unpackArrays, type Owned, type PlainArrays } from "./plain-arrays.ts";
import { longestTimerMs } from "./stuck-watch.ts";
import { runFailure } from "./run-failure.ts";
import { WorkerHost, type WorkerStart } from "./worker-host.ts";

/** From the engine to a worker with a model. */
export type ToModel =
  | { readonly type: "run"; readonly id: number; readonly inputs: PlainArrays }
  /** Nobody waits for a run any more; only for models that heed it. */
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "stop" };

/** What a model takes and gives. */
export type ModelSpecs = Pick<Model, "inputs" | "outputs" | "cancellable">;

/** From a worker with a model to the engine, besides what every worker says of itself. */
export type FromModel =
  | ({ readonly type: "loaded" } & ModelSpecs)
  | { readonly type: "outputs"; readonly id: number; readonly outputs: PlainArrays }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorData };

/** Of a class, as a `ListPlace` is: it holds a whole batch. */
class PendingRun {
  readonly resolve: (outputs: NamedArrays) => void;
  readonly reject: (error: ServableError) => void;
  /** Or to warm the worker up: one that never does more than that has not proved itself. */
  readonly isForRequests: boolean;
  /** Runs until the run is given up, then until the worker is killed for it. */
  timer: NodeJS.Timeout | undefined;

  constructor(resolve: PendingRun["resolve"], reject: PendingRun["reject"], isForRequests: boolean) {
    this.resolve = resolve;
    this.reject = reject;
    this.isForRequests = isForRequests;
  }
}

/** What a {@link RemoteModel} is started as. */
export interface ModelStart extends WorkerStart {
  /** The longest that any request waits: a batch that runs for longer counts as given up. */
  readonly longestRunMs: number;
}

/** One worker with one model: named arrays in, named arrays out. */
export class RemoteModel {
  /** Whether it ever finished a run, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  /** What the model says of itself; empty until it is loaded. */
  specs: ModelSpecs = { inputs: [], outputs: [] };
  readonly #host: WorkerHost<ToModel, FromModel>;
  readonly #runs = new Slots<PendingRun>();
  readonly #killAfterMs: number;
  readonly #longestRunMs: number;

  /** @param onExit - called when the worker is gone, with the reason */
  constructor(start: ModelStart, onExit: (reason: string) => void) {
    this.#killAfterMs = Math.min(start.killAfterMs, longestTimerMs);
    this.#longestRunMs = Math.min(start.longestRunMs, longestTimerMs);
    const owner = {
      receive: (message: FromModel): void => {
        this.#receive(message);
      },
      failAll: (reason: string): void => {
        for (const { reject, timer } of this.#runs.values()) {
          clearTimeout(timer);
          reject(new ServableError("worker_crashed", "The worker that ran the model crashed.", { cause: reason, stage: "call" }));
        }
        this.#runs.clear();
      },
      busy: (): boolean => this.inFlight > 0,
    };
    this.#host = new WorkerHost(new URL("./model-main.js", import.meta.url), start, owner, onExit);
  }

  /** Runs in the worker. */
  get inFlight(): number {
    return this.#runs.size;
  }

  /** Whether it hears nothing more. While it runs something it is sent nothing anyway. */
  get blocked(): boolean {
    return this.killed;
  }

  /** Whether it was ended for a run that would not stop, and so did not crash. */
  get killed(): boolean {
    return this.#host.killed;
  }

  get warmupMs(): number | undefined {
    return this.#host.warmupMs;
  }

  /** Resolves when the model is loaded. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return this.#host.ready();
  }

  stop(): Promise<void> {
    return this.#host.stop();
  }

  /**
   * @param owned - what of the arrays the engine may hand over instead of copying it
   * @param batch - what runs; without one the run may take as long as it takes
   */
  run(inputs: NamedArrays, owned: Owned, batch?: RunningBatch): Promise<NamedArrays> {
    return new Promise((resolve, reject) => {
      const pending = new PendingRun(resolve, reject, batch !== undefined);
      const id = this.#runs.add(pending);
      if (batch !== undefined) this.#follow(id, pending, batch);
      try {
        if (this.#host.gone) throw new ServableError("worker_crashed", "The worker that was to run the model is gone.", { stage: "call" });
        const { arrays, transfer } = packArrays(inputs, owned);
        this.#host.send({ type: "run", id, inputs: arrays }, transfer);
      } catch (thrown) {
        // Arrays that can't cross, such as detached ones: the worker must not count as busy with them for ever.
        this.#runs.delete(id);
        clearTimeout(pending.timer);
        throw thrown;
      }
    });
  }

  /** Has a run that nobody waits for any more told so, and the worker killed when it does not end then. */
  #follow(id: number, run: PendingRun, batch: RunningBatch): void {
    const isTold = this.specs.cancellable === true;
    const { canKill } = this.#host;
    if (!isTold && !canKill) return;
    const giveUp = (): void => {
      batch.onGivenUp = undefined;
      clearTimeout(run.timer);
      if (isTold && this.#runs.has(id)) this.#host.send({ type: "cancel", id });
      if (!canKill) return;
      run.timer = setTimeout(() => {
        this.#host.kill(`the model ran on for ${this.#killAfterMs} ms after its requests were given up (killAfterMs)`);
      }, this.#killAfterMs);
    };
    run.timer = setTimeout(giveUp, this.#longestRunMs);
    batch.onGivenUp = giveUp;
  }

  #receive(message: FromModel): void {
    if (message.type === "loaded") {
      this.specs = message;
      return;
    }
    const run = this.#runs.get(message.id);
    if (run === undefined) return;
    this.#runs.delete(message.id);
    clearTimeout(run.timer);
    if (run.isForRequests) this.finishedARequest = true;
    if (message.type === "error") {
      run.reject(errorFromData(message.error));
      return;
    }
    try {
      run.resolve(unpackArrays(message.outputs));
    } catch (thrown) {
      // They were other ones when they were checked: somebody's own objects can be anything.
      run.reject(runFailure(thrown));
    }
  }
}
