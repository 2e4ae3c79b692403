/** What a request is checked against, in the order and with the texts of Triton's own checks. */
import { elementsOf, requestPrefix } from "../protocol/elements.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { InferInput, InferRequest } from "../protocol/inference.ts";
import { isDataOf, isDataType, type TensorData } from "../tensor/data-type.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ModelRequest } from "./model-request.ts";
import { reshaped, type InputPlan, type Signature } from "./signature.ts";

/**
 * Checks a request and makes of its inputs what the model takes.
 *
 * @throws InferenceError `INVALID_ARG`
 */
export function prepareRequest(signature: Signature, request: InferRequest): ModelRequest {
  const { maxBatchSize, model, outputs } = signature;
  const given = inputsByName(request);
  for (const { name } of request.outputs) {
    if (!outputs.has(name)) throw invalid(undefined, `unexpected inference output '${name}' for model '${model}'`);
  }
  checkCount(signature, request, given);
  const batchSize = maxBatchSize === 0 ? 0 : batchSizeOf(signature, request);
  if (batchSize > maxBatchSize) {
    throw invalid(request.id, `inference request batch-size must be <= ${maxBatchSize} for '${model}'`);
  }
  const arrays: [string, Tensor][] = [];
  let key = "";
  // In the configuration's order, so that two requests with the same inputs have one key.
  for (const plan of signature.inputs.values()) {
    const input = given.get(plan.name);
    if (input === undefined) continue;
    const shape = modelShape(signature, request, plan, input, batchSize);
    if (!signature.uniform) key += plan.ragged ? `${plan.name};` : `${plan.name}:${shape.slice(maxBatchSize > 0 ? 1 : 0).join(",")};`;
    arrays.push([plan.name, new Tensor(plan.dataType, shape, dataOf(signature, request, plan, input))]);
  }
  return new ModelRequest(request, Object.fromEntries(arrays), maxBatchSize === 0 ? 1 : batchSize, key);
}

function inputsByName({ id, inputs }: InferRequest): ReadonlyMap<string, InferInput> {
  const given = new Map<string, InferInput>();
  for (const input of inputs) {
    if (given.has(input.name)) throw invalid(id, `input '${input.name}' already exists in request`);
    given.set(input.name, input);
  }
  return given;
}

function checkCount({ inputs, required, model }: Signature, { id }: InferRequest, given: ReadonlyMap<string, InferInput>): void {
  if (given.size >= required && given.size <= inputs.size) {
    for (const name of given.keys()) {
      if (!inputs.has(name)) throw invalid(undefined, `unexpected inference input '${name}' for model '${model}'`);
    }
    return;
  }
  const missing = [...inputs.values()].filter(({ name, optional }) => !optional && !given.has(name));
  const quote = (names: readonly string[]): string => `[${names.map((name) => `'${name}'`).join(",")}]`;
  // Where nothing is missing Triton writes a lone bracket: it takes a comma away that is not there.
  const missingText = missing.length === 0 ? "]" : quote(missing.map(({ name }) => name));
  const expected =
    required === inputs.size
      ? `expected ${inputs.size} inputs but got ${given.size} inputs for model '${model}'`
      : `expected number of inputs between ${required} and ${inputs.size} but got ${given.size} inputs for model '${model}'`;
  throw invalid(
    id,
    `${expected}. Got input(s) ${quote([...given.keys()])}, but missing required input(s) ${missingText}. Please provide all required input(s).`,
  );
}

function batchSizeOf({ model }: Signature, { id, inputs }: InferRequest): number {
  let batchSize: number | undefined;
  for (const { name, shape } of inputs) {
    const [rows] = shape;
    if (rows === undefined) throw invalid(id, `input '${name}' has no shape but model requires batch dimension for '${model}'`);
    batchSize ??= rows;
    if (rows !== batchSize) throw invalid(id, `input '${name}' batch size does not match other inputs for '${model}'`);
  }
  return batchSize ?? 0;
}

/** Checks data type and shape. @returns the shape that the model is to get, batch axis included */
function modelShape(
  { model, maxBatchSize }: Signature,
  { id }: InferRequest,
  plan: InputPlan,
  { name, dataType, shape }: InferInput,
  batchSize: number,
): readonly number[] {
  if (dataType !== plan.dataType) {
    const shown = isDataType(dataType) ? dataType : "<invalid>";
    throw invalid(id, `inference input '${name}' data-type is '${shown}', but model '${model}' expects '${plan.dataType}'`);
  }
  if (shape.includes(-1)) {
    throw invalid(id, `All input dimensions should be specified for input '${name}' for model '${model}', got ${dimsText(shape)}`);
  }
  const batching = maxBatchSize > 0;
  const offset = batching ? 1 : 0;
  const { dims, reshape } = plan;
  let fits = shape.length === dims.length + offset;
  for (let axis = 0; fits && axis < dims.length; axis += 1) fits = dims[axis] === -1 || dims[axis] === shape[axis + offset];
  if (!fits) {
    const expected = batching ? [-1, ...dims] : dims;
    throw invalid(
      id,
      `unexpected shape for input '${name}' for model '${model}'. Expected ${dimsText(expected)}, got ${dimsText(shape)}. ${batching ? batchNote : ""}`,
    );
  }
  if (reshape === undefined) return shape;
  const inner = reshaped(offset === 0 ? shape : shape.slice(1), dims, reshape);
  return batching ? [batchSize, ...inner] : inner;
}

function dataOf({ model, maxBatchSize }: Signature, { id }: InferRequest, { dataType }: InputPlan, input: InferInput): TensorData {
  const { name, shape, data, bytes } = input;
  if (data !== undefined && !isDataOf(dataType, data)) {
    throw new InferenceError("INTERNAL", `the data of the input '${name}' has been read as another type`);
  }
  if (data === undefined && bytes === undefined) throw invalid(id, `input '${name}' has no data`);
  const context = { modelName: model, requestId: id };
  // Of a batch of no rows Triton wants the data of one, and so refuses it where there is none.
  if (maxBatchSize > 0 && shape[0] === 0) elementsOf({ ...input, shape: shape.slice(1) }, context);
  const elements = elementsOf(input, context);
  if (ArrayBuffer.isView(elements)) return elements;
  // A view would keep, and take along to the model's thread, the whole body.
  return elements.some((element) => typeof element !== "string")
    ? elements.map((element) => (typeof element === "string" ? element : Uint8Array.prototype.slice.call(element)))
    : elements;
}

/** @param id - undefined for texts without the prefix */
function invalid(id: string | undefined, text: string): InferenceError {
  return new InferenceError("INVALID_ARG", id === undefined ? text : `${requestPrefix(id)}${text}`);
}

function dimsText(dims: readonly number[]): string {
  return `[${dims.join(",")}]`;
}

const batchNote =
  "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input shape. If you want to " +
  "specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See the model configuration " +
  "docs for more info on max_batch_size.";
