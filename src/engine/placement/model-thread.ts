import { ServableError, errorFromData, type ErrorData } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Logger } from "../../service/service.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { WorkerInit } from "./messages.ts";
import { packArrays, unpackArrays, type PlainArrays } from "./plain-arrays.ts";
import { ThreadHost } from "./thread-host.ts";

/** From the engine to a thread with a model. */
export type ToModelThread = { readonly type: "run"; readonly id: number; readonly inputs: PlainArrays } | { readonly type: "stop" };

/** What a model takes and gives. */
export type ModelSpecs = Pick<Model, "inputs" | "outputs">;

/** From a thread with a model to the engine, besides what every thread says of itself. */
export type FromModelThread =
  | ({ readonly type: "loaded" } & ModelSpecs)
  | { readonly type: "outputs"; readonly id: number; readonly outputs: PlainArrays }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorData };

interface PendingRun {
  readonly resolve: (outputs: NamedArrays) => void;
  readonly reject: (error: ServableError) => void;
}

/** One worker thread with one model: named arrays in, named arrays out. */
export class ModelThread {
  /** Whether it ever finished a run, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  /** What the model says of itself; empty until it is loaded. */
  specs: ModelSpecs = { inputs: [], outputs: [] };
  readonly #host: ThreadHost<ToModelThread, FromModelThread>;
  readonly #runs = new Map<number, PendingRun>();
  #nextId = 1;

  /** @param onExit - called when the thread is gone, with the reason */
  constructor(init: WorkerInit, log: Logger, onExit: (reason: string) => void) {
    const owner = {
      receive: (message: FromModelThread): void => {
        this.#receive(message);
      },
      failAll: (reason: string): void => {
        for (const { reject } of this.#runs.values()) {
          reject(new ServableError("worker_crashed", "The worker that ran the model crashed.", { cause: reason, stage: "call" }));
        }
        this.#runs.clear();
      },
      busy: (): boolean => this.inFlight > 0,
    };
    this.#host = new ThreadHost(new URL("./model-main.js", import.meta.url), init, log, owner, onExit);
  }

  /** Runs in the thread. */
  get inFlight(): number {
    return this.#runs.size;
  }

  /** Resolves when the model is loaded. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return this.#host.ready();
  }

  stop(): Promise<void> {
    return this.#host.stop();
  }

  /** @param owned - whether the engine made the arrays, and nobody else holds them */
  run(inputs: NamedArrays, owned: boolean): Promise<NamedArrays> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#runs.set(id, { resolve, reject });
      const { arrays, transfer } = packArrays(inputs, owned);
      this.#host.send({ type: "run", id, inputs: arrays }, transfer);
    });
  }

  #receive(message: FromModelThread): void {
    if (message.type === "loaded") {
      this.specs = message;
      return;
    }
    const run = this.#runs.get(message.id);
    if (run === undefined) return;
    this.#runs.delete(message.id);
    this.finishedARequest = true;
    if (message.type === "outputs") run.resolve(unpackArrays(message.outputs));
    else run.reject(errorFromData(message.error));
  }
}
