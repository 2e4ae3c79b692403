import { ServableError, messageOf } from "../../errors.ts";
import type { InferOutput, InferResponse, RequestedOutput } from "../../protocol/inference.ts";
import { arrayTypes, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { RankedTensor, TensorInput } from "./model-types.ts";

// Of data types that share an array, the one of integers is meant.
const dataTypeOfArray: ReadonlyMap<string, DataType> = new Map(
  (["UINT8", "UINT16", "INT8", "INT16", "INT32", "INT64", "UINT32", "UINT64", "FP32", "FP64"] as const).map((dataType) => [
    arrayTypes[dataType].name,
    dataType,
  ]),
);

/**
 * A tensor whose type tells its rank: what {@link InferenceClient.infer} wants of a model whose types it knows.
 *
 * @throws ServableError `invalid_argument` when data type, shape and data do not fit each other
 */
export function rankedTensor<D extends DataType, const S extends readonly number[]>(
  dataType: D,
  shape: S,
  data: TensorData<D>,
): RankedTensor<D, { readonly [Axis in keyof S]: number }> {
  // The constructor keeps the shape that it is given, so its length is the one of S.
  return new Tensor(dataType, shape, data) as RankedTensor<D, { readonly [Axis in keyof S]: number }>;
}

/**
 * The inputs of a call, as the wire wants them.
 *
 * @throws ServableError `invalid_argument` that names the input
 */
export function wireInputs(inputs: Readonly<Record<string, TensorInput | Tensor | undefined>>): InferOutput[] {
  const wire: InferOutput[] = [];
  for (const [name, input] of Object.entries(inputs)) if (input !== undefined) wire.push(wireInput(name, input));
  return wire;
}

function wireInput(name: string, input: TensorInput | Tensor): InferOutput {
  try {
    const { dataType, shape, data } = Tensor.isTensor(input)
      ? input
      : new Tensor(input.dataType ?? dataTypeOf(input.data), input.shape, input.data);
    return { name, dataType, shape, data };
  } catch (thrown) {
    throw new ServableError("invalid_argument", `The input '${name}' is no tensor: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function dataTypeOf(data: unknown): DataType {
  if (Array.isArray(data)) return "BYTES";
  const dataType = dataTypeOfArray.get(Object.prototype.toString.call(data).slice(8, -1));
  if (dataType !== undefined) return dataType;
  throw new ServableError(
    "invalid_argument",
    "Its `data` is neither a typed array nor a list of texts, and no `dataType` says what it is.",
  );
}

/**
 * The outputs of an answer, by name.
 *
 * @param asked - those that have to be among them; classes are texts
 * @throws ServableError where they are not, or are no tensors, or one is there twice
 */
export function tensorsOf({ outputs }: InferResponse, asked: readonly RequestedOutput[]): Record<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const { name, dataType, shape, data } of outputs) {
    if (tensors.has(name)) throw new ServableError("internal", `It has the output '${name}' twice.`);
    tensors.set(name, new Tensor(dataType, shape, data));
  }
  for (const { name, classification } of asked) {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new ServableError("internal", `The output '${name}' was asked for, and is not in it.`);
    if (classification !== undefined && tensor.dataType !== "BYTES")
      throw new ServableError("internal", `Classes of '${name}' were asked for, and it is ${tensor.toString()}.`);
  }
  // fromEntries defines properties, so that an output named "__proto__" is just that.
  return Object.fromEntries(tensors);
}
