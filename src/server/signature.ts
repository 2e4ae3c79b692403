import type { DataType } from "../tensor/data-type.ts";
import { byteSizeOf } from "../tensor/data-type.ts";
import { dataTypeOfTriton } from "../triton/data-types.ts";
import { ServableError } from "../errors.ts";
import type { TensorSpec } from "../model/model.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "../triton/model-config.ts";

/** One input or output of a model, as its configuration has it. */
export interface TensorPlan {
  readonly name: string;
  readonly dataType: DataType;
  /** Without the batch's axis; -1 where any length will do. */
  readonly dims: readonly number[];
  /** What the model itself takes or gives instead; undefined where that is `dims`. */
  readonly reshape: readonly number[] | undefined;
  /** Bytes of one element; undefined for BYTES. */
  readonly elementBytes: number | undefined;
}

/** One input. */
export interface InputPlan extends TensorPlan {
  readonly optional: boolean;
  readonly ragged: boolean;
}

/** One output. */
export interface OutputPlan extends TensorPlan {
  /** The file with its labels, in the model's folder. */
  readonly labelFilename: string | undefined;
}

/** What requests to a model are checked against. */
export interface Signature {
  readonly model: string;
  /** 0 for a model that knows no batches. */
  readonly maxBatchSize: number;
  readonly inputs: ReadonlyMap<string, InputPlan>;
  /** How many inputs there must be. */
  readonly required: number;
  readonly outputs: ReadonlyMap<string, OutputPlan>;
  /** Whether all requests have inputs of the same shapes, rows aside. */
  readonly uniform: boolean;
}

/**
 * What a configuration says of a model's inputs and outputs.
 *
 * @throws ServableError `invalid_config` for a data type that there is no tensor of
 */
export function signatureOf(config: ModelConfig): Signature {
  const inputs = new Map((config.input ?? []).map((input) => [input.name ?? "", inputPlan(input)]));
  const outputs = new Map((config.output ?? []).map((output) => [output.name ?? "", outputPlan(output)]));
  const all = [...inputs.values()];
  return {
    model: config.name ?? "",
    maxBatchSize: config.maxBatchSize ?? 0,
    inputs,
    required: all.filter(({ optional }) => !optional).length,
    outputs,
    uniform: all.every(({ dims, optional, ragged }) => ragged || (!optional && !dims.includes(-1))),
  };
}

function inputPlan(input: ModelInput): InputPlan {
  return { ...planOf(input), optional: input.optional ?? false, ragged: input.allowRaggedBatch ?? false };
}

function outputPlan(output: ModelOutput): OutputPlan {
  const labels = output.labelFilename ?? "";
  return { ...planOf(output), labelFilename: labels === "" ? undefined : labels };
}

function planOf({ name = "", dataType = "TYPE_INVALID", dims = [], reshape }: ModelInput | ModelOutput): TensorPlan {
  const type = dataTypeOfTriton(dataType);
  if (type === undefined) throw new ServableError("invalid_config", `'${name}' has the data type ${dataType}, which no tensor can have`);
  return { name, dataType: type, dims, reshape: reshape && (reshape.shape ?? []), elementBytes: byteSizeOf(type) };
}

/**
 * The signature with the model's scalars as it has them: a configuration can't say that a tensor has no dimensions, and says [1].
 *
 * @param specs - what the loaded model says
 */
export function withScalars(
  signature: Signature,
  specs: { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] },
): Signature {
  if (signature.maxBatchSize > 0) return signature;
  const adapt = <P extends TensorPlan>(plans: ReadonlyMap<string, P>, side: readonly TensorSpec[]): ReadonlyMap<string, P> =>
    new Map(
      [...plans].map(([name, plan]) => {
        const isScalar = side.some((spec) => spec.name === name && spec.shape.length === 0);
        return [name, isScalar && plan.reshape === undefined ? { ...plan, reshape: [] } : plan];
      }),
    );
  return { ...signature, inputs: adapt(signature.inputs, specs.inputs), outputs: adapt(signature.outputs, specs.outputs) };
}

/**
 * The shape on one side of a reshape, of that on the other: fixed lengths as they stand, free ones in their order.
 *
 * @param shape - fits `from`
 */
export function reshaped(shape: readonly number[], from: readonly number[], to: readonly number[]): readonly number[] {
  const free = shape.filter((_, axis) => from[axis] === -1);
  return to.map((length) => (length === -1 ? (free.shift() ?? 1) : length));
}
