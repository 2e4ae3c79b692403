import { inference } from "../../src/protocol/grpc/generated/messages.js";
import { shapeOf, tensorBytes } from "./infer-body.ts";
import { batchOf, type FuzzModel } from "./models.ts";
import { wholeText } from "./mutate.ts";
import type { Random } from "./random.ts";

type Request = inference.ModelInferRequest.$Properties;
type Input = inference.ModelInferRequest.InferInputTensor.$Properties;
type Parameter = inference.InferParameter.$Properties;

/** A ModelInferRequest, with a mistake at each place that often. */
export function inferMessage(random: Random, model: FuzzModel, mistakes: number): Buffer {
  const wrong = (): boolean => random.chance(mistakes);
  const batch = batchOf(random, model);
  const raw: Buffer[] = [];
  const inputs = model.inputs.map((input): Input => {
    const { shape, count } = shapeOf(random, input, batch);
    let bytes = tensorBytes(random, input.dataType, count);
    if (wrong()) bytes = random.bytes(random.size(200));
    raw.push(bytes);
    return {
      name: wrong() ? wholeText(random) : input.name,
      datatype: wrong() ? random.from(["", "FP32", "BYTES", "fp32", "TYPE_FP32", "INT8", wholeText(random)]) : input.dataType,
      shape: wrong() ? random.list(random.size(20), () => anyInt64(random)) : shape,
      ...(wrong() ? { parameters: parametersOf(random) } : {}),
      ...(wrong() ? { contents: contentsOf(random) } : {}),
    };
  });
  if (wrong()) inputs.push(random.from(inputs));
  if (wrong()) inputs.pop();
  if (wrong()) raw.push(random.bytes(random.size(100)));
  if (wrong()) raw.pop();
  const request: Request = {
    modelName: wrong() ? wholeText(random) : model.name,
    modelVersion: wrong() ? random.from(["1", "7", "0", "-1", "abc", "1.5", "+1", " 1", "9".repeat(30), wholeText(random)]) : "",
    id: wrong() ? wholeText(random) : "",
    inputs,
    outputs: model.outputs.map((name) => ({
      name: wrong() ? wholeText(random) : name,
      ...(wrong() ? { parameters: parametersOf(random) } : {}),
    })),
    parameters: {
      ...(model.stateful === true
        ? { sequence_id: { int64Param: random.between(1, 3) }, sequence_start: { boolParam: random.chance(0.5) } }
        : {}),
      ...(wrong() ? parametersOf(random) : {}),
    },
    rawInputContents: raw,
  };
  return Buffer.from(inference.ModelInferRequest.encode(request).finish());
}

const keys = [
  "sequence_id",
  "sequence_start",
  "sequence_end",
  "priority",
  "timeout",
  "triton_x",
  "triton_enable_empty_final_response",
] as const;
const others = [
  "binary_data_size",
  "classification",
  "shared_memory_region",
  "shared_memory_offset",
  "__proto__",
  "constructor",
  "",
  "own",
] as const;

function parametersOf(random: Random): Record<string, Parameter> {
  const read: Record<string, Parameter> = {};
  for (let left = random.below(4); left > 0; left--) {
    const key = random.from([...keys, ...others]);
    Object.defineProperty(read, key, { value: anyParameter(random), enumerable: true, configurable: true, writable: true });
  }
  return read;
}

function anyParameter(random: Random): Parameter {
  return random.from<() => Parameter>([
    () => ({ int64Param: anyInt64(random) }),
    () => ({ uint64Param: anyInt64(random) }),
    () => ({ boolParam: random.chance(0.5) }),
    () => ({ stringParam: wholeText(random) }),
    () => ({ doubleParam: random.from([0, -1, 1.5, Number.NaN, Infinity, 1e300]) }),
    () => ({}),
  ])();
}

/** Also those that no number of JavaScript is. */
function anyInt64(random: Random): number | { low: number; high: number; unsigned: boolean } {
  if (random.chance(0.6)) return random.from([0, 1, 2, 3, -1, 8, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, -(2 ** 40)]);
  return { low: random.next() | 0, high: random.from([0x7fffffff, -0x80000000, -1, random.next() | 0]), unsigned: false };
}

function contentsOf(random: Random): inference.InferTensorContents.$Properties {
  const some = random.size(10);
  const numbers = random.list(some, () => random.below(300));
  return random.from<() => inference.InferTensorContents.$Properties>([
    () => ({ fp32Contents: numbers }),
    () => ({ intContents: numbers, int64Contents: numbers }),
    () => ({ uint64Contents: random.list(some, () => anyInt64(random)) }),
    () => ({ boolContents: numbers.map((number) => number > 99) }),
    () => ({ bytesContents: random.list(some, () => random.bytes(random.size(20))) }),
    () => ({}),
  ])();
}
