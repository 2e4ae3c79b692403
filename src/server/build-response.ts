import { ServableError } from "../errors.ts";
import type { InferOutput, InferRequest, InferResponse, RequestedOutput } from "../protocol/inference.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { classify } from "../protocol/classification.ts";
import { reshaped, type OutputPlan, type Signature } from "./signature.ts";

/** Labels of a model's outputs, by output. */
export type Labels = ReadonlyMap<string, readonly string[]>;

const noParameters = Object.freeze({});

/** The response to a request: the outputs that it asked for, or all, as the configuration shapes them. */
export function buildResponse(
  signature: Signature,
  version: string,
  labels: Labels,
  request: InferRequest,
  arrays: NamedArrays,
): InferResponse {
  const { model, outputs: plans } = signature;
  const outputs: InferOutput[] = [];
  if (request.outputs.length === 0) {
    for (const plan of plans.values()) outputs.push(outputOf(signature, plan, arrays));
  } else {
    for (const wanted of request.outputs) {
      const plan = plans.get(wanted.name);
      // Triton keeps what a request names in a set: an output that is named twice is given once.
      if (plan !== undefined && !outputs.some(({ name }) => name === plan.name))
        outputs.push(asked(outputOf(signature, plan, arrays), signature, wanted, labels));
    }
  }
  return { modelName: model, modelVersion: version, id: request.id, parameters: noParameters, outputs };
}

function outputOf({ model, maxBatchSize }: Signature, plan: OutputPlan, arrays: NamedArrays): InferOutput {
  const { name, dataType, dims, reshape } = plan;
  const array: Tensor | undefined = Object.hasOwn(arrays, name) ? arrays[name] : undefined;
  if (array === undefined) throw new ServableError("invalid_output", `The model '${model}' did not give its output '${name}'.`);
  if (array.dataType !== dataType) {
    throw new ServableError(
      "invalid_output",
      `The model '${model}' gave its output '${name}' as ${array.dataType} instead of ${dataType}.`,
    );
  }
  let { shape } = array;
  if (reshape !== undefined) {
    const [rows = 0, ...rest] = shape;
    shape = maxBatchSize > 0 ? [rows, ...reshaped(rest, reshape, dims)] : reshaped(shape, reshape, dims);
  }
  return { name, dataType, shape, data: array.data };
}

function asked(output: InferOutput, { maxBatchSize }: Signature, { classification = 0 }: RequestedOutput, labels: Labels): InferOutput {
  return classification > 0 ? classify(output, classification, { batched: maxBatchSize > 0, labels: labels.get(output.name) }) : output;
}
