import { ServableError, messageOf } from "../../errors.ts";
import { refuseUnknownKeys } from "../../known-keys.ts";
import type { InferParameter, InferResponse, RequestedOutput } from "../../protocol/inference.ts";
import { headerLengthName } from "../../protocol/http/header-length.ts";
import { readInferResponse } from "../../protocol/http/read-response.ts";
import type { OutgoingInfer } from "../../protocol/http/write-request.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { inferKeys, type InferOptions, type InferResult } from "./inference-client.ts";
import type { TensorInput } from "./model-types.ts";
import { readBody } from "./answer-body.ts";
import { tensorsOf, wireInputs } from "./tensors.ts";

/** Inputs as they come, when nobody knows the model's types any more. */
export type AnyInputs = Readonly<Record<string, TensorInput | Tensor | undefined>>;

/**
 * An inference as the wire wants it.
 *
 * @param classes - for each output, how many of its classes to give instead of its values
 * @throws ServableError `invalid_argument`, `invalid_config` for an option that there is not
 */
export function outgoingInfer(inputs: AnyInputs, options: InferOptions, classes?: Readonly<Record<string, number>>): OutgoingInfer {
  refuseUnknownKeys(options, inferKeys, "An inference");
  const parameters: Record<string, InferParameter> = { ...options.parameters };
  const { priority, sequence } = options;
  if (priority !== undefined) parameters.priority = priority;
  if (sequence !== undefined) {
    parameters.sequence_id = sequence.id;
    parameters.sequence_start = sequence.start ?? false;
    parameters.sequence_end = sequence.end ?? false;
  }
  const outputs =
    classes === undefined
      ? (options.outputs ?? []).map((name) => ({ name }))
      : Object.entries(classes).map(([name, classification]) => ({ name, classification: checkCount(name, classification) }));
  return {
    id: options.id ?? options.requestId ?? "",
    parameters,
    inputs: wireInputs(inputs),
    outputs,
    binary: (options.encoding ?? "binary") === "binary",
  };
}

function checkCount(name: string, count: number): number {
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new ServableError("invalid_argument", `How many classes of '${name}' to give must be a whole number from 1; it is ${count}.`);
}

/** Where an answer comes from, for messages, and what has to be in it. */
export interface ExpectedAnswer {
  readonly origin: string;
  /** The outputs that were asked for by name. */
  readonly asked: readonly RequestedOutput[];
}

/**
 * Reads the answer to an inference.
 *
 * @param inPieces - whether the host's fetch copies less where a large body is taken piece by piece
 * @throws ServableError `internal` for what is none
 */
export async function readInferAnswer(
  response: Response,
  expected: ExpectedAnswer,
  inPieces: boolean,
): Promise<InferResult<Record<string, Tensor>>> {
  const header = response.headers.get(headerLengthName);
  const body = await readBody(response, Number(header ?? 0), inPieces);
  return inferResult(expected, () => readInferResponse(body, header === null ? undefined : Number(header)));
}

/**
 * What a call gives.
 *
 * @param read - reads it from the wire
 * @throws ServableError `internal` where the server contradicts itself: what it sent is no fault of the request, whatever the reading of it says
 */
export function inferResult({ origin, asked }: ExpectedAnswer, read: () => InferResponse): InferResult<Record<string, Tensor>> {
  try {
    const response = read();
    const { modelName, modelVersion, id, parameters } = response;
    return { modelName, modelVersion, id, parameters, outputs: tensorsOf(response, asked) };
  } catch (thrown) {
    throw new ServableError("internal", `The answer from ${origin} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}
