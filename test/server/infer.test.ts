/** One model, one request: checks with their texts, and the tensors that come back. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InferRequest } from "servable/server";
import { identityModel, writeOnnx } from "../support/onnx-writer.ts";
import { failureOf, serveRepository, type Served } from "./support.ts";

const add = writeOnnx({
  inputs: [
    { name: "a", dataType: "FP32", shape: ["batch", 3] },
    { name: "b", dataType: "FP32", shape: ["batch", 3] },
  ],
  outputs: [
    { name: "sum", dataType: "FP32", shape: ["batch", 3] },
    { name: "copy", dataType: "FP32", shape: ["batch", 3] },
  ],
  nodes: [
    { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    { op: "Identity", inputs: ["a"], outputs: ["copy"] },
  ],
});
const tensorText = (name: string, type: string, dims: string, more = ""): string =>
  `{ name: "${name}" data_type: ${type} dims: [ ${dims} ] ${more} }`;
const addConfig = `backend: "onnxruntime" max_batch_size: 4
  input [ ${tensorText("a", "TYPE_FP32", "3")}, ${tensorText("b", "TYPE_FP32", "3")} ]
  output [ ${tensorText("sum", "TYPE_FP32", "3", 'label_filename: "labels.txt"')}, ${tensorText("copy", "TYPE_FP32", "3")} ]
  instance_group [ { count: 1 kind: KIND_CPU } ]`;
const identity = (type: string, dims: string, more = ""): string => `backend: "onnxruntime" ${more}
  input [ ${tensorText("x", type, dims)} ] output [ ${tensorText("y", type, dims)} ] instance_group [ { count: 1 kind: KIND_CPU } ]`;
const reshapeModel = writeOnnx({
  inputs: [{ name: "x", dataType: "FP32", shape: ["batch"] }],
  outputs: [{ name: "y", dataType: "FP32", shape: ["batch"] }],
  nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
});

let served: Served;
beforeAll(async () => {
  served = await serveRepository({
    "add/config.pbtxt": addConfig,
    "add/labels.txt": "zero\none\ntwo\n",
    "add/1/model.onnx": add,
    "text/config.pbtxt": identity("TYPE_STRING", "-1"),
    "text/1/model.onnx": identityModel("BYTES", ["n"]),
    "scalar/config.pbtxt": identity("TYPE_INT64", "1"),
    "scalar/1/model.onnx": identityModel("INT64", []),
    "free/config.pbtxt": identity("TYPE_FP16", "-1, 2"),
    "free/1/model.onnx": identityModel("FP16", ["n", 2]),
    "reshaped/config.pbtxt": `backend: "onnxruntime" max_batch_size: 8
      input [ ${tensorText("x", "TYPE_FP32", "1", "reshape { shape: [] }")} ]
      output [ ${tensorText("y", "TYPE_FP32", "1", "reshape { shape: [] }")} ]`,
    "reshaped/1/model.onnx": reshapeModel,
  });
});
afterAll(() => served[Symbol.asyncDispose]());

const fp32 = (name: string, shape: readonly number[], ...values: number[]): InferRequest["inputs"][number] => ({
  name,
  dataType: "FP32",
  shape,
  data: Float32Array.from(values),
});

describe("answers", () => {
  test("all outputs, in the configuration's order, with the request's id", async () => {
    const response = await served.infer("add", { id: "7", inputs: [fp32("b", [1, 3], 1, 2, 3), fp32("a", [1, 3], 10, 20, 30)] });
    expect(response).toMatchObject({ modelName: "add", modelVersion: "1", id: "7" });
    expect(response.outputs.map(({ name }) => name)).toEqual(["sum", "copy"]);
    expect(response.outputs[0]).toMatchObject({ dataType: "FP32", shape: [1, 3], data: Float32Array.of(11, 22, 33) });
  });

  test("only the outputs that were asked for, as classes where that was asked", async () => {
    const inputs = [fp32("a", [2, 3], 1, 5, 3, 9, 0, 4), fp32("b", [2, 3], 0, 0, 0, 0, 0, 0)];
    const response = await served.infer("add", { inputs, outputs: [{ name: "sum", classification: 2 }] });
    expect(response.outputs).toEqual([
      expect.objectContaining({
        name: "sum",
        dataType: "BYTES",
        shape: [2, 2],
        data: ["5.000000:1:one", "3.000000:2:two", "9.000000:0:zero", "4.000000:2:two"],
      }),
    ]);
  });

  test("bytes are read where they lie badly, too", async () => {
    const bytes = new Uint8Array(13);
    bytes.set(new Uint8Array(Float32Array.of(1, 2, 3).buffer), 1);
    const a = { name: "a", dataType: "FP32", shape: [1, 3], bytes: Buffer.from(bytes.buffer).subarray(1) };
    const response = await served.infer("add", { inputs: [a, fp32("b", [1, 3], 0, 0, 1)] });
    expect(response.outputs[0]?.data).toEqual(Float32Array.of(1, 2, 4));
  });

  test("texts, bytes that are none, and NULs", async () => {
    const data = ["", "héllo", "a\0b", Uint8Array.of(0xff, 0x00, 0x41), Uint8Array.of(0xe2, 0x82), "\u{10ff41}"];
    const response = await served.infer("text", { inputs: [{ name: "x", dataType: "BYTES", shape: [6], data }] });
    expect(response.outputs[0]?.data).toEqual(data);
  });

  test("a scalar is [1] on the wire", async () => {
    const response = await served.infer("scalar", { inputs: [{ name: "x", dataType: "INT64", shape: [1], data: BigInt64Array.of(-5n) }] });
    expect(response.outputs[0]).toMatchObject({ shape: [1], data: BigInt64Array.of(-5n) });
  });

  test("free dimensions, also of no length", async () => {
    const response = await served.infer("free", { inputs: [{ name: "x", dataType: "FP16", shape: [0, 2], data: new Uint16Array(0) }] });
    expect(response.outputs[0]).toMatchObject({ dataType: "FP16", shape: [0, 2] });
  });

  test("reshape takes an axis away and gives it back", async () => {
    const response = await served.infer("reshaped", { inputs: [fp32("x", [3, 1], 1, 2, 3)] });
    expect(response.outputs[0]).toMatchObject({ shape: [3, 1], data: Float32Array.of(1, 2, 3) });
  });
});

describe("what is refused", () => {
  const a = fp32("a", [1, 3], 1, 2, 3);
  const b = fp32("b", [1, 3], 1, 2, 3);
  const refused = (request: Partial<InferRequest>, model = "add") => failureOf(served.infer(model, request));
  const invalid = (message: string) => ({ status: "INVALID_ARG", message });

  test.each<readonly [string, Partial<InferRequest>, string]>([
    [
      "a missing input",
      { id: "q", inputs: [a] },
      "[request id: q] expected 2 inputs but got 1 inputs for model 'add'. Got input(s) ['a'], but missing required input(s) ['b']. Please provide all required input(s).",
    ],
    ["an input twice", { inputs: [a, a] }, "[request id: <id_unknown>] input 'a' already exists in request"],
    ["an unknown input", { inputs: [a, fp32("c", [1, 3], 1, 2, 3)] }, "unexpected inference input 'c' for model 'add'"],
    ["an unknown output", { inputs: [a, b], outputs: [{ name: "z" }] }, "unexpected inference output 'z' for model 'add'"],
    [
      "another data type",
      { inputs: [{ ...a, dataType: "INT32", data: new Int32Array(3) }, b] },
      "[request id: <id_unknown>] inference input 'a' data-type is 'INT32', but model 'add' expects 'FP32'",
    ],
    [
      "another shape",
      { inputs: [fp32("a", [1, 4], 1, 2, 3, 4), b] },
      "[request id: <id_unknown>] unexpected shape for input 'a' for model 'add'. Expected [-1,3], got [1,4]. NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size.",
    ],
    [
      "too many rows",
      { inputs: [fp32("a", [5, 3], ...new Array<number>(15).fill(0)), fp32("b", [5, 3], ...new Array<number>(15).fill(0))] },
      "[request id: <id_unknown>] inference request batch-size must be <= 4 for 'add'",
    ],
    [
      "rows that differ",
      { inputs: [a, fp32("b", [2, 3], 1, 2, 3, 4, 5, 6)] },
      "[request id: <id_unknown>] input 'b' batch size does not match other inputs for 'add'",
    ],
    [
      "no rows",
      { inputs: [fp32("a", [0, 3]), fp32("b", [0, 3])] },
      "[request id: <id_unknown>] input byte size mismatch for input 'a' for model 'add'. Expected 12, got 0",
    ],
    [
      "no shape",
      { inputs: [fp32("a", [], 1), b] },
      "[request id: <id_unknown>] input 'a' has no shape but model requires batch dimension for 'add'",
    ],
    [
      "too few bytes",
      { inputs: [{ name: "a", dataType: "FP32", shape: [1, 3], bytes: new Uint8Array(11) }, b] },
      "[request id: <id_unknown>] input byte size mismatch for input 'a' for model 'add'. Expected 12, got 11",
    ],
  ])("%s", async (_, request, message) => {
    expect(await refused(request)).toEqual(invalid(message));
  });

  test("texts that are too few, and lengths that lie", async () => {
    const strings = (bytes: number[], count: number): Partial<InferRequest> => ({
      inputs: [{ name: "x", dataType: "BYTES", shape: [count], bytes: Uint8Array.from(bytes) }],
    });
    expect((await refused(strings([1, 0, 0, 0, 65], 2), "text")).message).toMatch(/expected 2 string elements for inference input 'x'/);
    expect((await refused(strings([255, 255, 255, 255, 65], 1), "text")).message).toMatch(/incomplete string data/);
  });

  test("shapes of a model without batches, without the note", async () => {
    const inputs = [{ name: "x", dataType: "FP16", shape: [1, 3], data: new Uint16Array(3) }];
    expect((await refused({ inputs }, "free")).message).toBe(
      "[request id: <id_unknown>] unexpected shape for input 'x' for model 'free'. Expected [-1,2], got [1,3]. ",
    );
  });

  test("models and versions that are not there", () => {
    expect(() => served.server.model("nope", "")).toThrow("Request for unknown model: 'nope' is not found");
    expect(() => served.server.model("add", "7")).toThrow("Request for unknown model: 'add' version 7 is not found");
  });

  test("nothing of it counts", () => {
    const [statistics] = served.server.statistics("add", "");
    expect(statistics?.inference_stats.fail.count).toBe(0);
    expect(statistics?.inference_stats.success.count).toBe(3);
    expect(statistics?.inference_count).toBe(4);
  });
});

test("a tensor that is asked for under another name than the model has never loads", async () => {
  const wrong = addConfig.replace('"copy"', '"other"');
  const failure = await failureOf(serveRepository({ "m/config.pbtxt": wrong, "m/labels.txt": "", "m/1/model.onnx": add }));
  expect(failure.message).toMatch(/load failed for model 'm': version 1 is at UNAVAILABLE state: .*the model has no output 'other'.*;/);
});
