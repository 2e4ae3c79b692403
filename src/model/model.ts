import { ServableError } from "../errors.ts";
import type { DataType } from "../tensor/data-type.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What one array that a model takes or gives looks like. */
export interface TensorSpec {
  /** Its key in the named arrays. */
  readonly name: string;
  readonly dataType: DataType;
  /** The length of each dimension: a number where it is fixed; -1, or a name that the model's maker chose, where it is free. */
  readonly shape: readonly (number | string)[];
}

/** For whom a model runs. A service's context is one. */
export interface ModelCaller {
  readonly signal: AbortSignal;
  /** When the answer is due, in milliseconds since the epoch. */
  readonly deadline: number;
}

/** What can be said about one run. */
export interface ModelRunOptions {
  /** The request that the run is for: its signal counts as `signal`, and a run whose deadline has passed never starts. */
  readonly context?: ModelCaller | undefined;
  /** Aborted when nobody wants the answer any more. A run that has not started by then never does. */
  readonly signal?: AbortSignal | undefined;
  /** Where runs are put together: lower numbers go first. @default 0 */
  readonly priority?: number | undefined;
}

/**
 * A model that is loaded and ready: arrays in, arrays out. It may be run by several callers at once. Most engines block the thread
 * that calls them, so a model belongs where its service is placed, not on the thread that does I/O.
 *
 * @typeParam I - what `run` takes: named arrays, or a single one
 * @typeParam O - what `run` gives: named arrays, or a single one
 */
export interface Model<I extends Tensor | NamedArrays = NamedArrays, O extends Tensor | NamedArrays = NamedArrays> {
  /** Names the model in messages, logs and metrics. */
  readonly name: string;
  /** What it takes. */
  readonly inputs: readonly TensorSpec[];
  /** What it gives. */
  readonly outputs: readonly TensorSpec[];
  /** Whether a run that has started heeds its signal. Of one that does not, nobody is told that it was given up. @default false */
  readonly cancellable?: boolean | undefined;
  /**
   * Runs the model once. The inputs must not be changed until it is done; the outputs belong to the caller.
   *
   * @throws ServableError `invalid_argument` when the inputs do not fit `inputs`; `cancelled` when the signal was aborted before
   * it started; `unavailable` after `close`
   */
  run(inputs: I, options?: ModelRunOptions): O | Promise<O>;
  /** Frees what the model holds, once the runs in flight are done. Closing twice is closing once. */
  close(): void | Promise<void>;
}

/**
 * Gives a model of one input and one output a simpler face: one tensor in, one tensor out, no names.
 *
 * @throws ServableError `invalid_argument` when it has more than one of either, or none
 * @example
 * ```ts
 * import { singleArray, Tensor, type Model } from "servable";
 *
 * export async function classify(model: Model, pixels: Float32Array): Promise<Tensor> {
 *   return await singleArray(model).run(new Tensor("FP32", [1, 3, 224, 224], pixels));
 * }
 * ```
 */
export function singleArray(model: Model): Model<Tensor, Tensor> {
  const input = only(model, "inputs");
  const output = only(model, "outputs");
  const unwrap = (outputs: NamedArrays): Tensor => {
    const array = outputs[output.name];
    if (array !== undefined) return array;
    throw new ServableError("invalid_output", `The model '${model.name}' did not give its output '${output.name}'.`);
  };
  return {
    name: model.name,
    inputs: model.inputs,
    outputs: model.outputs,
    run(array, options) {
      const outputs = model.run({ [input.name]: array }, options);
      return outputs instanceof Promise ? outputs.then(unwrap) : unwrap(outputs);
    },
    close: () => model.close(),
  };
}

function only(model: Model, side: "inputs" | "outputs"): TensorSpec {
  const [first, ...others] = model[side];
  if (first !== undefined && others.length === 0) return first;
  const names = model[side].map(({ name }) => `'${name}'`).join(", ");
  throw new ServableError(
    "invalid_argument",
    `The model '${model.name}' has ${model[side].length} ${side}${names === "" ? "" : ` (${names})`}, and singleArray wants exactly one. ` +
      "Run the model itself, with named arrays.",
  );
}
