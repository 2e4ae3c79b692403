import type { InferOutput, InferResponse } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { isDataType, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { sizeOfShape } from "../../tensor/shape.ts";
import { bytesOfData } from "../elements.ts";
import { checkCutOff, dataOfOutput } from "../output-data.ts";
import type { inference } from "./generated/messages.js";
import { readContents } from "./contents.ts";
import { readNumber } from "./int64.ts";
import { readParameters, writeParameters } from "./parameters.ts";
import { plainView } from "./plain-view.ts";
import { isSet } from "./is-set.ts";

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
  const outputs = message.outputs ?? [];
  const raw = message.rawOutputContents ?? [];
  if (raw.length > outputs.length) throw contradiction(`It has ${outputs.length} outputs, and the bytes of ${raw.length}.`);
  return {
    modelName,
    modelVersion: message.modelVersion ?? "",
    id: message.id ?? "",
    parameters: readParameters(message.parameters),
    outputs: outputs.map((output, index) => readOutput(output, raw[index], modelName)),
  };
}

function readOutput(output: WireOutput, raw: Uint8Array | undefined, model: string): InferOutput {
  const name = output.name ?? "";
  const dataType = output.datatype ?? "";
  if (!isDataType(dataType)) throw contradiction(`The output '${name}' is of ${dataType}, which is no data type.`);
  const shape = (output.shape ?? []).map(readNumber);
  if (shape.some((dimension) => dimension < 0)) throw contradiction(`The output '${name}' has the shape [${shape.join(", ")}].`);
  const data = readData(output, { name, dataType, size: sizeOfShape(shape), raw, model });
  const parameters = readParameters(output.parameters);
  return { name, dataType, shape, data, ...(Object.keys(parameters).length === 0 ? {} : { parameters }) };
}

interface OutputData {
  readonly name: string;
  readonly dataType: DataType;
  /** How many elements the shape has room for. */
  readonly size: number;
  readonly raw: Uint8Array | undefined;
  readonly model: string;
}

function readData({ contents }: WireOutput, { name, dataType, size, raw, model }: OutputData): TensorData {
  if (!isSet(contents)) {
    if (raw === undefined) throw contradiction(`The output '${name}' came without data.`);
    return dataOfOutput(name, dataType, size, plainView(raw));
  }
  const data = readContents(contents, dataType, { input: name, model });
  if (data.length !== size) throw contradiction(`The output '${name}' has ${data.length} elements, its shape room for ${size}.`);
  checkCutOff(name, dataType, data, (dataType.startsWith("U") ? contents.uintContents : contents.intContents) ?? []);
  return data;
}

function contradiction(text: string): InferenceError {
  return new InferenceError("INTERNAL", text);
}
