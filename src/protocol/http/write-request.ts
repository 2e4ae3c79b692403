import type { InferOutput, InferParameter, InferParameters, RequestedOutput } from "../inference.ts";
import { binaryTensor, jsonTensor } from "./json-tensors.ts";
import { jsonParameters, wireJson } from "./json-values.ts";
import { joinBody, type WrittenBody } from "./written-body.ts";

/** An inference as a client asks for it. */
export interface OutgoingInfer {
  readonly id: string;
  readonly parameters: InferParameters;
  readonly inputs: readonly InferOutput[];
  /** Empty for all. */
  readonly outputs: readonly RequestedOutput[];
  /** Whether tensors travel as bytes, in both directions. 16-bit floats always do. */
  readonly binary: boolean;
}

/** Writes the body of an inference. */
export function writeInferRequest({ id, parameters, inputs, outputs, binary }: OutgoingInfer): WrittenBody {
  const chunks: Uint8Array[] = [];
  let json = id === "" ? "{" : `{"id":${JSON.stringify(id)},`;
  const all: Readonly<Record<string, InferParameter>> =
    outputs.length === 0 && binary ? { ...parameters, binary_data_output: true } : parameters;
  const written = jsonParameters(all);
  if (written !== undefined) json += `"parameters":${written},`;
  json += '"inputs":[';
  inputs.forEach((input, index) => {
    const asBytes = binary || input.dataType === "FP16" || input.dataType === "BF16";
    json += (index === 0 ? "" : ",") + (asBytes ? binaryTensor(input, chunks) : jsonTensor(input));
  });
  json += "]";
  if (outputs.length > 0) json += `,"outputs":[${outputs.map((output) => requestedOutput(output, binary)).join(",")}]`;
  json += "}";
  return joinBody(wireJson(json), chunks);
}

function requestedOutput({ name, classification, parameters }: RequestedOutput, binary: boolean): string {
  const classes: InferParameters = classification === undefined ? {} : { classification };
  const written = jsonParameters({ ...parameters, ...classes, binary_data: binary });
  return `{"name":${JSON.stringify(name)}${written === undefined ? "" : `,"parameters":${written}`}}`;
}
