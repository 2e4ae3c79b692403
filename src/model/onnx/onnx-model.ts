import { setImmediate as nextTurn } from "node:timers/promises";
import type { InferenceSession } from "onnxruntime-node";
import { messageOf, ServableError } from "../../errors.ts";
import { mapArrays, setNamed, type NamedArrays } from "../../tensor/named-arrays.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkInputs } from "../check-inputs.ts";
import { assertMayBlock } from "../io-thread.ts";
import type { Model, ModelCaller, ModelRunOptions, TensorSpec } from "../model.ts";
import { fromOnnx, toOnnx } from "./convert.ts";
import type { OnnxRuntime } from "./onnxruntime.ts";
import { reasonIn } from "./reason.ts";

/** What an {@link OnnxModel} is made of. @internal */
export interface OnnxModelParts {
  readonly name: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly runtime: OnnxRuntime;
  readonly session: InferenceSession;
}

/** An ONNX model, loaded by `loadOnnxModel`. A run blocks the thread that it is on, so runs take turns. */
export class OnnxModel implements Model {
  readonly name: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #runtime: OnnxRuntime;
  readonly #session: InferenceSession;
  /** Settles when the last run that was asked for is over; never rejects. */
  #lastRun: Promise<unknown> = Promise.resolve();
  #pendingRuns = 0;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor({ name, inputs, outputs, runtime, session }: OnnxModelParts) {
    this.name = name;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#runtime = runtime;
    this.#session = session;
  }

  /**
   * Runs the model once. The inputs are used where they are, so they must not be changed until it is done.
   *
   * @param inputs - one array for each of `this.inputs`
   * @param options - `signal`, or the one of `context`: a run that has not started when it is aborted never does, nor one that is late by then
   * @returns one array for each of `this.outputs`
   * @throws ServableError `invalid_argument` when the inputs do not fit; `invalid_config` on a thread that does I/O; `cancelled`,
   * or the signal's own reason where that is a ServableError; `deadline_exceeded`; `service_failed` when the model fails; `unavailable` after `close`
   */
  run(inputs: NamedArrays, { context, signal = context?.signal }: ModelRunOptions = {}): Promise<NamedArrays> {
    let feeds: InferenceSession.FeedsType;
    try {
      assertMayBlock(`Running the model '${this.name}'`);
      if (this.#closing !== undefined) throw new ServableError("unavailable", `The model '${this.name}' is closed.`);
      checkInputs(this, inputs);
      feeds = mapArrays(inputs, (array, name) => toOnnx(this.#runtime, name, array));
    } catch (thrown) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what was thrown above is handed on as it is
      return Promise.reject(thrown);
    }
    const run = this.#pendingRuns > 0 ? this.#runInTurn(feeds, context, signal) : this.#runNow(feeds, context, signal);
    this.#pendingRuns++;
    this.#lastRun = run.then(this.#ended, this.#ended);
    return run;
  }

  readonly #ended = (): void => {
    this.#pendingRuns--;
  };

  async #runInTurn(
    feeds: InferenceSession.FeedsType,
    context: ModelCaller | undefined,
    signal: AbortSignal | undefined,
  ): Promise<NamedArrays> {
    await this.#lastRun;
    // Between runs the thread looks at the outside; without, no news of a signal would come while others wait.
    await nextTurn();
    return this.#runNow(feeds, context, signal);
  }

  async #runNow(
    feeds: InferenceSession.FeedsType,
    context: ModelCaller | undefined,
    signal: AbortSignal | undefined,
  ): Promise<NamedArrays> {
    // A thread that computes hears no timer, so that the signal alone may come too late.
    if (context !== undefined && context.deadline <= Date.now() && signal?.aborted !== true) {
      throw new ServableError("deadline_exceeded", `The time of the request was over before the model '${this.name}' ran for it.`);
    }
    if (signal?.aborted) {
      if (ServableError.isInstance(signal.reason)) throw signal.reason;
      throw new ServableError("cancelled", `The run of the model '${this.name}' was cancelled before it started.`, {
        cause: signal.reason,
      });
    }
    let values: InferenceSession.ReturnType;
    try {
      values = await this.#session.run(feeds);
    } catch (error) {
      throw new ServableError("service_failed", `The model '${this.name}' failed: ${reasonIn(messageOf(error))}.`, { cause: error });
    }
    const outputs: Record<string, Tensor> = {};
    for (const { name } of this.outputs) {
      const value = values[name];
      if (value === undefined) throw new ServableError("invalid_output", `The model '${this.name}' did not give its output '${name}'.`);
      const output = fromOnnx(name, value);
      setNamed(outputs, name, output instanceof Promise ? await output : output);
    }
    return outputs;
  }

  /** Frees the session once the runs in flight are done. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#lastRun.then(() => this.#session.release());
    return this.#closing;
  }
}
