import { ServableError } from "../../errors.ts";
import { checkOutputs } from "../../model/check-outputs.ts";
import { forbidBlocking, permitBlocking } from "../../model/io-thread.ts";
import type { Model } from "../../model/model.ts";
import { openModel, type ModelLoader } from "../../service/model-loader.ts";
import type { Logger } from "../../service/service.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { RunningBatch } from "../batching/dynamic-batcher.ts";
import type { WorkerEvent } from "../observer.ts";
import { closeInTime } from "./close-in-time.ts";
import { setupFailure } from "./inline.ts";
import type { Owned } from "./plain-arrays.ts";
import type { PlacementStatus } from "./placement.ts";
import type { ModelSpecs } from "./remote-model.ts";
import { givenUp, runFailure } from "./run-failure.ts";

/** What a {@link LocalModel} is made of. */
export interface LocalModelOptions {
  readonly service: string;
  readonly load: ModelLoader;
  readonly device: number | undefined;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
}

/**
 * The one place of a model that is on the thread that asks, because its service asked for `inline`: no hop, which is most of what a small model costs,
 * and nothing else happens on this thread while it runs.
 */
export class LocalModel {
  readonly #options: LocalModelOptions;
  #model: Model | undefined;
  #inFlight = 0;
  #stopped = false;

  constructor(options: LocalModelOptions) {
    this.#options = options;
  }

  get specs(): ModelSpecs {
    return this.#model ?? { inputs: [], outputs: [] };
  }
  get lost(): boolean {
    return this.#stopped;
  }

  /** Loads the model. @throws ServableError `load_failed` */
  async start(): Promise<void> {
    const { service, load, device, log, onChange } = this.#options;
    const since = performance.now();
    permitBlocking();
    let model: Model | undefined;
    try {
      model = await openModel(load, { worker: 0, device, log });
    } catch (thrown) {
      throw setupFailure(service, thrown);
    } finally {
      // Or `stop` came meanwhile, and found nothing to close.
      if (model === undefined || this.#stopped) forbidBlocking();
    }
    if (this.#stopped) {
      await model.close();
      return;
    }
    this.#model = model;
    onChange({ service, worker: 0, change: "ready", startMs: performance.now() - since, warmupMs: undefined });
  }

  idle(): number {
    return this.#model !== undefined && this.#inFlight === 0 ? 1 : 0;
  }

  leastBusy(): this | undefined {
    return this.#model && this;
  }

  workers(): readonly this[] {
    return this.#model === undefined ? [] : [this];
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  status(): PlacementStatus {
    const ready = this.#model === undefined ? 0 : 1;
    return { placement: "inline", ready, total: 1, reason: ready === 0 ? "not set up" : undefined };
  }

  async run(inputs: NamedArrays, _owned: Owned, batch?: RunningBatch): Promise<NamedArrays> {
    const model = this.#model;
    if (model === undefined) throw new ServableError("unavailable", "The service is closed.");
    const aborter = model.cancellable === true ? new AbortController() : undefined;
    if (batch !== undefined && aborter !== undefined) {
      batch.onGivenUp = () => {
        aborter.abort(givenUp());
      };
    }
    this.#inFlight += 1;
    try {
      const outputs: unknown = await model.run(inputs, aborter && { signal: aborter.signal });
      checkOutputs(model, outputs);
      return outputs;
    } catch (thrown) {
      throw runFailure(thrown);
    } finally {
      this.#inFlight -= 1;
    }
  }

  /** Frees the model once what runs is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const model = this.#model;
    this.#model = undefined;
    if (model === undefined) return;
    try {
      await closeInTime(model.close());
    } finally {
      forbidBlocking();
    }
  }
}
