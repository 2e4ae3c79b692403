import { bytesOfData } from "../elements.ts";
import type { InferOutput } from "../inference.ts";
import { jsonElements, jsonParameters } from "./json-values.ts";

/** Everything of a tensor but its data and parameters. */
function tensorHead({ name, dataType, shape }: Pick<InferOutput, "name" | "dataType" | "shape">): string {
  return `{"name":${JSON.stringify(name)},"datatype":"${dataType}","shape":[${shape.join(",")}]`;
}

/** A tensor whose elements are part of the JSON. */
export function jsonTensor(tensor: InferOutput): string {
  const parameters = jsonParameters(tensor.parameters);
  const middle = parameters === undefined ? "" : `,"parameters":${parameters}`;
  return `${tensorHead(tensor)}${middle},"data":[${jsonElements(tensor.dataType, tensor.data)}]}`;
}

/** A tensor whose bytes, put into `chunks`, come behind the JSON. */
export function binaryTensor(tensor: InferOutput, chunks: Uint8Array[]): string {
  const bytes = bytesOfData(tensor.dataType, tensor.data);
  if (bytes.byteLength > 0) chunks.push(bytes);
  const parameters = jsonParameters({ ...tensor.parameters, binary_data_size: bytes.byteLength }) ?? "{}";
  return `${tensorHead(tensor)},"parameters":${parameters}}`;
}
