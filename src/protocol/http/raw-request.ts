import { isDataType, byteSizeOf } from "../../tensor/data-type.ts";
import { plainBytes, requestPrefix, textOrBytes } from "../elements.ts";
import type { InferInput } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { allBinaryOutputs } from "./binary-outputs.ts";
import type { InferTarget, ReadInferRequest } from "./read-request.ts";

/** What a raw request needs to know of its model. */
export interface RawInputSpec {
  /** The model's inputs; `dims` without the batch's axis, -1 where any length will do. */
  readonly inputs: readonly { readonly name: string; readonly dataType: string; readonly dims: readonly number[] }[];
  /** Whether shapes have a batch's axis. */
  readonly batching: boolean;
}

/**
 * Makes a request of a raw binary body (header length 0, or no body at all): it is the one input, in a batch of one where the model has batches, and all
 * outputs are binary. BYTES have no length before them here.
 *
 * @throws InferenceError `INVALID_ARG` where the body does not tell what its shape is
 */
export function readRawRequest(body: Uint8Array, spec: RawInputSpec, target: InferTarget): ReadInferRequest {
  const input = rawInput(plainBytes(body), spec, target.modelName);
  const { modelName, modelVersion } = target;
  return { request: { modelName, modelVersion, id: "", parameters: {}, inputs: [input], outputs: [] }, binaryOutputs: allBinaryOutputs };
}

function rawInput(body: Uint8Array, { inputs, batching }: RawInputSpec, modelName: string): InferInput {
  const [input] = inputs;
  if (input === undefined || inputs.length !== 1) {
    const found = `Raw request must only have 1 input (found 1) to be deduced but got ${inputs.length} inputs`;
    throw invalid(`${found} in '${modelName}' model configuration`);
  }
  const { name, dataType, dims } = input;
  const free = dims.filter((dimension) => dimension === -1).length;
  if (free > 1) {
    throw invalid(`The shape of the raw input '${name}' can not be deduced because there are more than one variable-sized dimension`);
  }
  let rowSize = 1;
  for (const dimension of dims) if (dimension !== -1) rowSize *= dimension;
  const batch = batching ? [1] : [];
  if (dataType === "BYTES") {
    if (free > 0 || rowSize !== 1) throw invalid(`For BYTE datatype raw input '${name}', the model must have input shape [1]`);
    return { name, dataType, shape: [...batch, ...dims], data: [textOrBytes(body)] };
  }
  const elementBytes = (isDataType(dataType) ? byteSizeOf(dataType) : undefined) ?? 1;
  const length = Math.floor(body.byteLength / rowSize / elementBytes);
  return { name, dataType, shape: [...batch, ...dims.map((dimension) => (dimension === -1 ? length : dimension))], bytes: body };
}

function invalid(text: string): InferenceError {
  return new InferenceError("INVALID_ARG", requestPrefix("") + text);
}
