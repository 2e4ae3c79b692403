import type { InferOutput, InferResponse } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { isDataType } from "../../tensor/data-type.ts";
import type { inference } from "./generated/messages.js";
import { readContents } from "./contents.ts";
import { readNumber } from "./int64.ts";
import { readParameters, writeParameters } from "./parameters.ts";
import { bytesOf, dataOf } from "./raw.ts";

type WireResponse = inference.ModelInferResponse.$Properties;
type WireOutput = inference.ModelInferResponse.InferOutputTensor.$Properties;

/** A response as a message. Outputs are always raw, one for each output in their order. */
export function writeInferResponse(response: InferResponse): WireResponse {
  return {
    modelName: response.modelName,
    modelVersion: response.modelVersion,
    id: response.id,
    parameters: writeParameters(response.parameters),
    outputs: response.outputs.map(({ name, dataType, shape, parameters }) => ({
      name,
      datatype: dataType,
      shape: [...shape],
      ...(parameters === undefined ? {} : { parameters: writeParameters(parameters) }),
    })),
    rawOutputContents: response.outputs.map(({ dataType, data }) => bytesOf(dataType, data)),
  };
}

/**
 * A response of a message.
 *
 * @throws InferenceError `INTERNAL` where the server's message contradicts itself
 */
export function readInferResponse(message: WireResponse): InferResponse {
  const modelName = message.modelName ?? "";
  return {
    modelName,
    modelVersion: message.modelVersion ?? "",
    id: message.id ?? "",
    parameters: readParameters(message.parameters),
    outputs: (message.outputs ?? []).map((output, index) => readOutput(output, message.rawOutputContents?.[index], modelName)),
  };
}

function readOutput(output: WireOutput, raw: Uint8Array | undefined, model: string): InferOutput {
  const name = output.name ?? "";
  const dataType = output.datatype ?? "";
  if (!isDataType(dataType))
    throw new InferenceError("INTERNAL", `output '${name}' of model '${model}' has the unknown datatype '${dataType}'`);
  if (raw === undefined && output.contents == null)
    throw new InferenceError("INTERNAL", `output '${name}' of model '${model}' came without data`);
  const data = raw === undefined ? readContents(output.contents ?? {}, dataType, { input: name, model }) : dataOf(dataType, raw);
  const parameters =
    output.parameters == null || Object.keys(output.parameters).length === 0 ? undefined : readParameters(output.parameters);
  return { name, dataType, shape: (output.shape ?? []).map(readNumber), data, ...(parameters === undefined ? {} : { parameters }) };
}
