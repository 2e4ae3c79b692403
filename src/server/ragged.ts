/** Inputs that requests have in different shapes, one behind the other in one flat array, and what the model is told of where each begins. */
import { ServableError } from "../errors.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { sizeOfShape } from "../tensor/shape.ts";
import { splitNamed, stack } from "../tensor/stack.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { BatchInput, BatchOutput, ModelConfig } from "../triton/model-config.ts";
import type { ModelRequest } from "./model-request.ts";
import type { Signature } from "./signature.ts";

/** Makes the model's inputs of requests, and the requests' outputs of the model's. */
export interface RaggedBatching {
  join(requests: readonly ModelRequest[]): NamedArrays;
  split(outputs: NamedArrays, requests: readonly ModelRequest[]): readonly NamedArrays[];
}

/** How a model's batches are put together whose rows can't simply be stacked; undefined where they can. */
export function raggedBatching(signature: Signature, { batchInput = [], batchOutput = [] }: ModelConfig): RaggedBatching | undefined {
  const ragged = new Set([...signature.inputs.values()].filter((plan) => plan.ragged).map(({ name }) => name));
  if (ragged.size === 0 && batchInput.length === 0 && batchOutput.length === 0) return undefined;
  return {
    join(requests) {
      const inputs = new Map<string, Tensor>();
      for (const name of Object.keys(requests[0]?.inputs ?? {})) {
        const arrays = requests.flatMap((request) => request.inputs[name] ?? []);
        inputs.set(name, ragged.has(name) ? flat(arrays) : stack(arrays));
      }
      for (const made of batchInput) {
        for (const target of made.targetName ?? []) inputs.set(target, batchInputOf(made, requests));
      }
      return Object.fromEntries(inputs);
    },
    split: (outputs, requests) => splitOutputs(outputs, requests, batchOutput),
  };
}

function flat(arrays: readonly Tensor[]): Tensor {
  return stack(arrays.map(({ dataType, size, data }) => new Tensor(dataType, [size], data)));
}

function batchInputOf({ kind = "BATCH_ELEMENT_COUNT", dataType, sourceInput = [] }: BatchInput, requests: readonly ModelRequest[]): Tensor {
  const source = sourceInput[0] ?? "";
  const shapes = requests.map(({ inputs }) => inputs[source]?.shape ?? [0]);
  const counts = shapes.map(sizeOfShape);
  const tensor = (shape: readonly number[], values: readonly number[]): Tensor =>
    dataType === "TYPE_FP32" ? new Tensor("FP32", shape, Float32Array.from(values)) : new Tensor("INT32", shape, Int32Array.from(values));
  switch (kind) {
    case "BATCH_ELEMENT_COUNT":
      return tensor([counts.length], counts);
    case "BATCH_ACCUMULATED_ELEMENT_COUNT":
      return tensor([counts.length], accumulated(counts));
    case "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
      return tensor([counts.length + 1], [0, ...accumulated(counts)]);
    case "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": {
      // Its shape is what it says.
      const most = Math.max(0, ...counts);
      return tensor([most], new Array<number>(most).fill(0));
    }
    case "BATCH_ITEM_SHAPE":
    case "BATCH_ITEM_SHAPE_FLATTEN": {
      const items = shapes.flatMap(([rows = 0, ...item]) => Array.from({ length: rows }, () => item));
      const values = items.flat();
      return kind === "BATCH_ITEM_SHAPE" ? tensor([items.length, items[0]?.length ?? 0], values) : tensor([values.length], values);
    }
  }
}

function accumulated(counts: readonly number[]): readonly number[] {
  let sum = 0;
  return counts.map((count) => (sum += count));
}

function splitOutputs(outputs: NamedArrays, requests: readonly ModelRequest[], scattered: readonly BatchOutput[]): readonly NamedArrays[] {
  const sources = new Map(
    scattered.flatMap(({ targetName = [], sourceInput = [] }) => targetName.map((name) => [name, sourceInput[0] ?? ""] as const)),
  );
  const stacked = Object.fromEntries(Object.entries(outputs).filter(([name]) => !sources.has(name)));
  const rows = requests.map((request) => request.rows);
  const parts = splitNamed(stacked, rows).map((part) => ({ ...part }));
  for (const [name, source] of sources) {
    const array = outputs[name];
    if (array === undefined) continue;
    let start = 0;
    requests.forEach(({ inputs }, index) => {
      const shape = inputs[source]?.shape ?? [0];
      const end = start + sizeOfShape(shape);
      const part = parts[index];
      if (end > array.size || part === undefined) {
        throw new ServableError("invalid_output", `The model gave ${array.size} elements as '${name}', fewer than '${source}' has.`);
      }
      part[name] = new Tensor(array.dataType, shape, array.data.slice(start, end));
      start = end;
    });
  }
  return parts;
}
