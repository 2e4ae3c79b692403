import type { Tensor as OnnxTensor } from "onnxruntime-node";
import { ServableError } from "../../errors.ts";
import { isDataOf, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { hasDataType, Tensor } from "../../tensor/tensor.ts";
import { dataTypeOfOnnx, isOnnxDataType, onnxTypeOf } from "./data-types.ts";
import type { OnnxRuntime } from "./onnxruntime.ts";

/**
 * A tensor as onnxruntime's: on the same memory, but for shared memory, which it refuses and which is copied, and for bytes,
 * which it takes only as text.
 *
 * @throws ServableError `invalid_argument` for `BF16`, and for `BYTES` that are not UTF-8
 */
export function toOnnx(runtime: OnnxRuntime, name: string, tensor: Tensor): OnnxTensor {
  const { dataType, shape } = tensor;
  if (hasDataType(tensor, "BYTES")) return new runtime.Tensor("string", toTexts(name, tensor.data), shape);
  if (!isOnnxDataType(dataType)) {
    throw new ServableError(
      "invalid_argument",
      `The input '${name}' is ${dataType}, which onnxruntime-node cannot pass. Use a model that takes FP16 or FP32.`,
    );
  }
  const data = ownMemory(tensor.data);
  // The array fits the data type, of which it is typed as one: a Tensor has checked that.
  const made = new runtime.Tensor(onnxTypeOf(dataType), data as Float32Array, shape);
  // Where JavaScript has a Float16Array, it becomes one, and onnxruntime-node takes those for empty (microsoft/onnxruntime#32323).
  return dataType === "FP16" ? Object.defineProperty(made, "data", { value: data }) : made;
}

/** onnxruntime's tensor as one of ours, on the same memory. */
export function fromOnnx(name: string, value: OnnxTensor): Tensor | Promise<Tensor> {
  const dataType = dataTypeOfOnnx(value.type);
  if (dataType === undefined)
    throw new ServableError("invalid_output", `The output '${name}' is of the type ${value.type}, which no tensor has.`);
  if (value.location === "cpu") return ourTensor(name, value, dataType, value.data);
  return value.getData().then((data) => ourTensor(name, value, dataType, data));
}

function ourTensor(name: string, value: OnnxTensor, dataType: DataType, found: unknown): Tensor {
  // Where JavaScript has a Float16Array, half-precision numbers come as one.
  const data =
    dataType === "FP16" && ArrayBuffer.isView(found) ? new Uint16Array(found.buffer, found.byteOffset, found.byteLength / 2) : found;
  if (!isDataOf(dataType, data))
    throw new ServableError("internal", `onnxruntime-node gave the output '${name}' in an array of the wrong kind.`);
  return new Tensor(dataType, value.dims, data);
}

function ownMemory(data: TensorData): TensorData {
  return ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer ? data.slice() : data;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function toTexts(name: string, elements: TensorData<"BYTES">): readonly string[] {
  return elements.every((element) => typeof element === "string")
    ? elements
    : elements.map((element, index) => toText(name, index, element));
}

function toText(name: string, index: number, element: string | Uint8Array): string {
  if (typeof element === "string") return element;
  try {
    return decoder.decode(element);
  } catch (error) {
    throw new ServableError(
      "invalid_argument",
      `Element ${index} of the input '${name}' is not UTF-8 text, and onnxruntime-node takes BYTES only as text.`,
      { cause: error },
    );
  }
}
