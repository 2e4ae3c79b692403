import type { InferInput, InferRequest, RequestedOutput } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { isDataType } from "../../tensor/data-type.ts";
import { bytesOfData } from "../elements.ts";
import { readContents } from "./contents.ts";
import type { inference } from "./generated/messages.js";
import { readNumber } from "./int64.ts";
import { readRequestParameters, writeParameters } from "./parameters.ts";
import { plainView } from "./plain-view.ts";
import { sharedMemoryDisabled } from "./shared-memory.ts";
import { isSet } from "./is-set.ts";

type WireRequest = inference.ModelInferRequest.$Properties;
type WireInput = inference.ModelInferRequest.InferInputTensor.$Properties;
type WireOutput = inference.ModelInferRequest.InferRequestedOutputTensor.$Properties;

/**
 * A request of a message. Raw contents are views on the message, not copies, and the message's memory is the request's: grpc-js joins each message in
 * memory of its own.
 *
 * @throws InferenceError with the texts that clients of Triton know
 */
export function readInferRequest(message: WireRequest): InferRequest {
  const modelName = message.modelName ?? "";
  return {
    modelName,
    modelVersion: message.modelVersion ?? "",
    id: message.id ?? "",
    parameters: readRequestParameters(message.parameters),
    inputs: readInputs(message, modelName),
    outputs: (message.outputs ?? []).map(readOutput),
    owned: true,
  };
}

function readInputs(message: WireRequest, model: string): readonly InferInput[] {
  const raw = message.rawInputContents ?? [];
  return (message.inputs ?? []).map((input, index): InferInput => {
    const head = readHead(input);
    if (!isSet(input.contents)) {
      const bytes = raw[index];
      if (bytes !== undefined) return { ...head, bytes: plainView(bytes) };
      throw new InferenceError("INVALID_ARG", `unable to find data for input tensor '${head.name}' for model '${model}' in request.`);
    }
    if (raw.length > 0) {
      throw new InferenceError(
        "INVALID_ARG",
        `contents field must not be specified when using raw_input_contents for '${head.name}' for model '${model}'`,
      );
    }
    return { ...head, data: readContents(input.contents, head.dataType, { input: head.name, model }) };
  });
}

function readHead(input: WireInput): Omit<InferInput, "data" | "bytes"> {
  const parameters = readTensorParameters(input.parameters);
  const head = { name: input.name ?? "", dataType: input.datatype ?? "", shape: (input.shape ?? []).map(readNumber) };
  return parameters === undefined ? head : { ...head, parameters };
}

/** Reading parameters costs more than looking that there are none, as is usual. */
function readTensorParameters(parameters: WireInput["parameters"]): InferInput["parameters"] {
  if (!isSet(parameters) || Object.keys(parameters).length === 0) return undefined;
  if (Object.hasOwn(parameters, "shared_memory_region")) throw sharedMemoryDisabled();
  return readRequestParameters(parameters);
}

function readOutput(output: WireOutput): RequestedOutput {
  const name = output.name ?? "";
  const parameters = readTensorParameters(output.parameters);
  if (parameters === undefined) return { name };
  const { classification, ...others } = parameters;
  if (classification === undefined) return { name, parameters };
  if (!isSet(output.parameters?.classification?.int64Param)) {
    throw new InferenceError("INVALID_ARG", "invalid value type for 'classification' parameter, expected int64_param.");
  }
  return { name, classification: Number(classification), parameters: others };
}

/** A request as a message; what is not bytes yet becomes bytes. */
export function writeInferRequest(request: InferRequest): WireRequest {
  return {
    modelName: request.modelName,
    modelVersion: request.modelVersion,
    id: request.id,
    parameters: writeParameters(request.parameters),
    inputs: request.inputs.map(({ name, dataType, shape, parameters }) => ({
      name,
      datatype: dataType,
      shape: [...shape],
      parameters: writeParameters(parameters),
    })),
    outputs: request.outputs.map(({ name, classification, parameters }) => ({
      name,
      parameters: {
        ...writeParameters(parameters),
        ...(classification === undefined ? {} : { classification: { int64Param: classification } }),
      },
    })),
    rawInputContents: request.inputs.map(rawOf),
  };
}

function rawOf({ name, dataType, data, bytes }: InferInput): Uint8Array {
  if (bytes !== undefined) return bytes;
  if (data === undefined || !isDataType(dataType)) {
    throw new InferenceError("INVALID_ARG", `input '${name}' has no data, or '${dataType}' is no data type`);
  }
  return bytesOfData(dataType, data);
}
