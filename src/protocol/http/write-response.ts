import type { InferResponse } from "../inference.ts";
import { isBinary, type BinaryOutputs } from "./binary-outputs.ts";
import { jsonParameters, wireJson } from "./json-values.ts";
import { binaryTensor, jsonTensor } from "./json-tensors.ts";
import { joinBody, type WrittenBody } from "./written-body.ts";

export type { WrittenBody } from "./written-body.ts";

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
  return joinBody(wire, chunks);
}
