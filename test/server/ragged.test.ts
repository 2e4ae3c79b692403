/** Inputs of different shapes in one batch. */
import { expect, test } from "vitest";
import type { InferRequest } from "servable/server";
import { ModelRequest } from "../../src/server/model-request.ts";
import { raggedBatching } from "../../src/server/ragged.ts";
import { signatureOf } from "../../src/server/signature.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { BatchInput, ModelConfig } from "../../src/triton/model-config.ts";
import { writeOnnx } from "../support/onnx-writer.ts";
import { requestOf, serveRepository } from "./support.ts";

const request = (shape: readonly number[], ...values: number[]): ModelRequest =>
  new ModelRequest(requestOf("m", {}), { x: new Tensor("FP32", shape, Float32Array.from(values)) }, shape[0] ?? 0, "");
const config: ModelConfig = {
  name: "m",
  maxBatchSize: 4,
  input: [{ name: "x", dataType: "TYPE_FP32", dims: [-1], allowRaggedBatch: true }],
  output: [],
};
const requests = [request([1, 3], 1, 2, 3), request([2, 2], 4, 5, 6, 7)];

test("elements lie behind each other, and the model is told where each begins", () => {
  const kinds: readonly (readonly [BatchInput["kind"], readonly number[], readonly number[]])[] = [
    ["BATCH_ELEMENT_COUNT", [2], [3, 4]],
    ["BATCH_ACCUMULATED_ELEMENT_COUNT", [2], [3, 7]],
    ["BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [3], [0, 3, 7]],
    ["BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [4], [0, 0, 0, 0]],
    ["BATCH_ITEM_SHAPE", [3, 1], [3, 2, 2]],
    ["BATCH_ITEM_SHAPE_FLATTEN", [3], [3, 2, 2]],
  ];
  for (const [kind, shape, values] of kinds) {
    const whole: ModelConfig = { ...config, batchInput: [{ kind, targetName: ["b"], dataType: "TYPE_INT32", sourceInput: ["x"] }] };
    const { x, b } = raggedBatching(signatureOf(whole), whole)!.join(requests);
    expect(x).toEqual(new Tensor("FP32", [7], Float32Array.of(1, 2, 3, 4, 5, 6, 7)));
    expect(b, kind).toEqual(new Tensor("INT32", shape, Int32Array.from(values)));
  }
});

test("an output may be scattered like an input", () => {
  const whole: ModelConfig = { ...config, batchOutput: [{ targetName: ["y"], sourceInput: ["x"] }] };
  const batching = raggedBatching(signatureOf(whole), whole)!;
  const y = new Tensor("FP32", [7], Float32Array.of(1, 2, 3, 4, 5, 6, 7));
  const z = new Tensor("INT32", [3, 1], Int32Array.of(10, 20, 30));
  expect(batching.split({ y, z }, requests)).toEqual([
    { y: new Tensor("FP32", [1, 3], Float32Array.of(1, 2, 3)), z: new Tensor("INT32", [1, 1], Int32Array.of(10)) },
    { y: new Tensor("FP32", [2, 2], Float32Array.of(4, 5, 6, 7)), z: new Tensor("INT32", [2, 1], Int32Array.of(20, 30)) },
  ]);
  expect(() => batching.split({ y: new Tensor("FP32", [2], Float32Array.of(1, 2)), z }, requests)).toThrow("gave 2 elements as 'y'");
});

test("a real model gets requests of different lengths in one batch", async () => {
  const model = writeOnnx({
    inputs: [
      { name: "x", dataType: "FP32", shape: ["n"] },
      { name: "ends", dataType: "FP32", shape: ["m"] },
    ],
    outputs: [{ name: "y", dataType: "FP32", shape: ["m", 1] }],
    nodes: [
      { op: "ReduceMax", inputs: ["x"], outputs: ["most"], attributes: { keepdims: 0 } },
      { op: "Add", inputs: ["ends", "most"], outputs: ["sum"] },
      { op: "Reshape", inputs: ["sum", "shape"], outputs: ["y"] },
    ],
    initializers: { shape: new Tensor("INT64", [2], BigInt64Array.of(-1n, 1n)) },
  });
  await using served = await serveRepository({
    "m/config.pbtxt": `backend: "onnxruntime" max_batch_size: 4
      input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
      output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
      batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_FP32 source_input: "x" }
      dynamic_batching { max_queue_delay_microseconds: 200000 } instance_group { count: 1 kind: KIND_CPU }`,
    "m/1/model.onnx": model,
  });
  const infer = async (...values: number[]): Promise<unknown> => {
    const inputs: InferRequest["inputs"] = [{ name: "x", dataType: "FP32", shape: [1, values.length], data: Float32Array.from(values) }];
    return (await served.infer("m", { inputs })).outputs[0]!.data[0];
  };
  // The largest of all, and where each ends.
  expect(await Promise.all([infer(1, 2, 100), infer(5), infer(1, 1)])).toEqual([103, 104, 106]);
  expect(served.server.statistics("m", "")[0]).toMatchObject({ execution_count: 1, inference_count: 3 });
});
