import type { InferOutput, InferResponse } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { isDataType } from "../../tensor/data-type.ts";
import { bytesOfData, elementsOf } from "../elements.ts";
import type { inference } from "./generated/messages.js";
import { readContents } from "./contents.ts";
import { readNumber } from "./int64.ts";
import { readParameters, writeParameters } from "./parameters.ts";
import { plainView } from "./plain-view.ts";
import { isSet } from "./is-set.ts";

type WireResponse = inference.ModelInferResponse.$Properties;

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
    rawOutputContents: response.outputs.map(({ dataType, data }) => bytesOfData(dataType, data)),
  };
}

/**
 * A response of a message.
 *
 * @throws InferenceError where the server's message contradicts itself
 */
export function readInferResponse(message: WireResponse): InferResponse {
  const modelName = message.modelName ?? "";
  const id = message.id ?? "";
  const outputs = (message.outputs ?? []).map((output, index): InferOutput => {
    const name = output.name ?? "";
    const dataType = output.datatype ?? "";
    if (!isDataType(dataType)) throw contradiction(`output '${name}' of model '${modelName}' has the unknown datatype '${dataType}'`);
    const shape = (output.shape ?? []).map(readNumber);
    const raw = message.rawOutputContents?.[index];
    const { contents } = output;
    if (raw === undefined && !isSet(contents)) throw contradiction(`output '${name}' of model '${modelName}' came without data`);
    const content = !isSet(contents)
      ? { bytes: plainView(raw ?? new Uint8Array(0)) }
      : { data: readContents(contents, dataType, { input: name, model: modelName }) };
    const data = elementsOf({ name, dataType, shape, ...content }, { modelName, requestId: id });
    const parameters = readParameters(output.parameters);
    return { name, dataType, shape, data, ...(Object.keys(parameters).length === 0 ? {} : { parameters }) };
  });
  return { modelName, modelVersion: message.modelVersion ?? "", id, parameters: readParameters(message.parameters), outputs };
}

function contradiction(text: string): InferenceError {
  return new InferenceError("INTERNAL", text);
}
