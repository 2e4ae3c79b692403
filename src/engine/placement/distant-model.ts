import { errorFromData, type ServableError } from "../../errors.ts";
import type { Model, ModelRunOptions } from "../../model/model.ts";
import type { AnyBatcher, GatheredRun } from "../../service/batcher.ts";
import { CallContext } from "../../service/call-context.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { Slots } from "../slots.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { packArrays, unpackArrays } from "./plain-arrays.ts";

interface PendingRun {
  readonly resolve: (outputs: NamedArrays) => void;
  readonly reject: (error: ServableError) => void;
}

/** The model as a worker with the stages around it sees it: each run goes to the engine, which puts it together with others'. */
export class DistantModel {
  readonly model: Model;
  readonly #send: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void;
  readonly #callOf: (context: CallContext) => number | undefined;
  readonly #runs = new Slots<PendingRun>();

  /** @param callOf - the number of a call that runs here */
  constructor(
    service: string,
    send: (message: FromWorker, transfer: readonly ArrayBuffer[]) => void,
    callOf: (context: CallContext) => number | undefined,
  ) {
    this.#send = send;
    this.#callOf = callOf;
    const run = (inputs: NamedArrays, options?: ModelRunOptions): Promise<NamedArrays> => this.#run(inputs, options);
    // What it takes and gives is known where it runs, and checked there.
    this.model = { name: service, inputs: [], outputs: [], run, close: () => undefined };
  }

  /** Here nothing is put together: the engine does that, over all workers, with the batcher of its own copy of the service. */
  gather<I, O>(_batcher: AnyBatcher<I, O>): GatheredRun<I, O> {
    // Only services whose requests are named arrays, in and out, are given stages elsewhere.
    return ((inputs: NamedArrays, options?: ModelRunOptions) => this.#run(inputs, options)) as unknown as GatheredRun<I, O>;
  }

  /** Takes what the engine says of a run. */
  receive(message: Extract<ToWorker, { readonly type: "model_ran" | "model_failed" }>): void {
    const pending = this.#runs.get(message.run);
    this.#runs.delete(message.run);
    if (message.type === "model_ran") pending?.resolve(unpackArrays(message.outputs));
    else pending?.reject(errorFromData(message.error));
  }

  #run(inputs: NamedArrays, { context, priority }: ModelRunOptions = {}): Promise<NamedArrays> {
    return new Promise((resolve, reject) => {
      const run = this.#runs.add({ resolve, reject });
      try {
        const { arrays, transfer } = packArrays(inputs, false);
        const id = context instanceof CallContext ? this.#callOf(context) : undefined;
        this.#send({ type: "model_run", id: id ?? 0, run, inputs: arrays, priority }, transfer);
      } catch (thrown) {
        // Arrays that can't cross, such as detached ones.
        this.#runs.delete(run);
        throw thrown;
      }
    });
  }
}
