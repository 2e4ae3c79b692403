import { bytesOfData } from "../elements.ts";
import type { InferOutput, InferResponse } from "../inference.ts";
import { isBinary, type BinaryOutputs } from "./binary-outputs.ts";
import { jsonElements, jsonParameters, wireJson } from "./json-values.ts";

/** A body on its way out. */
export interface WrittenBody {
  /** Text where it is all there is: the host encodes it while it writes. */
  readonly json: string | Uint8Array;
  /** What comes behind it, one for each binary tensor that is not empty: views on the tensors' own memory, but for BYTES. */
  readonly chunks: readonly Uint8Array[];
  /** For the header that tells where the JSON ends; undefined where there is nothing behind it. */
  readonly headerLength: number | undefined;
  readonly contentType: "application/json" | "application/octet-stream";
}

const encoder = new TextEncoder();

/**
 * Writes the answer to an inference.
 *
 * @throws InferenceError `INVALID_ARG` for 16-bit floats that are not to be binary
 */
export function writeInferResponse(response: InferResponse, binaryOutputs: BinaryOutputs): WrittenBody {
  const chunks: Uint8Array[] = [];
  let json = response.id === "" ? "{" : `{"id":${JSON.stringify(response.id)},`;
  json += `"model_name":${JSON.stringify(response.modelName)},"model_version":${JSON.stringify(response.modelVersion)}`;
  const parameters = jsonParameters(response.parameters);
  if (parameters !== undefined) json += `,"parameters":${parameters}`;
  json += ',"outputs":[';
  for (let index = 0; index < response.outputs.length; index++) {
    const output = response.outputs[index];
    if (output === undefined) continue;
    json += index === 0 ? "" : ",";
    json += isBinary(binaryOutputs, output.name) ? binaryTensor(output, chunks) : jsonTensor(output);
  }
  json += "]}";
  const wire = response.outputs.some(({ dataType }) => dataType === "BYTES") ? wireJson(json) : json;
  if (chunks.length === 0) return { json: wire, chunks, headerLength: undefined, contentType: "application/json" };
  const bytes = typeof wire === "string" ? encoder.encode(wire) : wire;
  return { json: bytes, chunks, headerLength: bytes.byteLength, contentType: "application/octet-stream" };
}

/** Everything of a tensor but its data and parameters. */
export function tensorHead({ name, dataType, shape }: Pick<InferOutput, "name" | "dataType" | "shape">): string {
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
