/** The front over the real model server: what its checks say reaches clients with its status and its text. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelHttpServer, ModelRepositoryServer } from "./dist.ts";
import { identityModel, writeOnnx } from "../../../support/onnx-writer.ts";
import { keepLog, until } from "../../../support/serving.ts";
import { binaryBody, bytesOf } from "./support.ts";

const add = writeOnnx({
  inputs: [
    { name: "a", dataType: "FP32", shape: ["batch", 2] },
    { name: "b", dataType: "FP32", shape: ["batch", 2] },
  ],
  outputs: [{ name: "sum", dataType: "FP32", shape: ["batch", 2] }],
  nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["sum"] }],
});
const files: Readonly<Record<string, string | Uint8Array>> = {
  "add/config.pbtxt": `backend: "onnxruntime" max_batch_size: 4
    input [ { name: "a" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "b" data_type: TYPE_FP32 dims: [ 2 ] } ]
    output [ { name: "sum" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
    instance_group [ { count: 1 kind: KIND_CPU } ]`,
  "add/labels.txt": "cat\ndog\n",
  "add/1/model.onnx": add,
  "text/config.pbtxt": `backend: "onnxruntime"
    input [ { name: "x" data_type: TYPE_STRING dims: [ -1 ] } ] output [ { name: "y" data_type: TYPE_STRING dims: [ -1 ] } ]`,
  "text/1/model.onnx": identityModel("BYTES", ["n"]),
};

let folder: string;
let plane: ModelRepositoryServer;
let server: ModelHttpServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "servable-models-"));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  plane = new ModelRepositoryServer({ repositories: [folder], control: "explicit", loadModels: ["*"], log: keepLog() });
  await plane.start();
  server = new ModelHttpServer({ plane, port: 0, log: keepLog() });
  await server.start();
});
afterAll(async () => {
  await server.drain(1_000);
  await plane.stop(1_000);
  await server.stop(1_000);
  await rm(folder, { recursive: true, force: true });
});

const post = async (path: string, body: object | Uint8Array | string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(server.url + path, {
    method: "POST",
    headers: { "accept-encoding": "identity", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
const fp32 = (name: string, shape: readonly number[], data: readonly number[]): object => ({ name, datatype: "FP32", shape, data });
const url = "/v2/models/add/infer";
const b = fp32("b", [1, 2], [1, 1]);
const a = fp32("a", [1, 2], [1, 2]);

describe("what the server finds wrong", () => {
  const rows: readonly (readonly [string, object, number, string | RegExp])[] = [
    [
      "shape",
      { inputs: [fp32("a", [1, 3], [1, 2, 3]), b] },
      400,
      /^\[request id: <id_unknown>\] unexpected shape for input 'a' for model 'add'\. Expected \[-1,2\], got \[1,3\]/,
    ],
    [
      "batch too big",
      { inputs: [fp32("a", [5, 2], new Array<number>(10).fill(0)), fp32("b", [5, 2], new Array<number>(10).fill(0))] },
      400,
      "[request id: <id_unknown>] inference request batch-size must be <= 4 for 'add'",
    ],
    ["batches differ", { inputs: [fp32("a", [2, 2], [1, 2, 3, 4]), b] }, 400, /batch size does not match other inputs for 'add'$/],
    [
      "data type",
      { id: "7", inputs: [{ name: "a", datatype: "INT32", shape: [1, 2], data: [1, 2] }, b] },
      400,
      "[request id: 7] inference input 'a' data-type is 'INT32', but model 'add' expects 'FP32'",
    ],
    [
      "count",
      { inputs: [a] },
      400,
      "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'add'. Got input(s) ['a'], but missing required input(s) ['b']. Please provide all required input(s).",
    ],
    ["unknown input", { inputs: [a, fp32("c", [1, 2], [1, 2])] }, 400, "unexpected inference input 'c' for model 'add'"],
    [
      "unknown output",
      { inputs: [a, b], outputs: [{ name: "difference" }] },
      400,
      "unexpected inference output 'difference' for model 'add'",
    ],
    ["the same input twice", { inputs: [a, a] }, 400, "[request id: <id_unknown>] input 'a' already exists in request"],
  ];
  test.each(rows)("%s", async (_name, body, status, error) => {
    const answer = await post(url, body);
    expect({ status: answer.status, ...((await answer.json()) as object) }).toEqual({
      status,
      error: typeof error === "string" ? error : (expect.stringMatching(error) as string),
    });
  });

  test.each([
    ["GET", "/v2/models/add/versions/9", 404, "Request for unknown model: 'add' version 9 is not found"],
    ["GET", "/v2/models/nobody/config", 404, "Request for unknown model: 'nobody' is not found"],
    ["GET", "/v2/models/nobody/stats", 400, "requested model 'nobody' is not available"],
    ["GET", "/v2/models/add/versions/9/stats", 400, "requested model version is not available for model 'add'"],
    ["POST", "/v2/repository/models/nobody/load", 500, "failed to load 'nobody', failed to poll from model repository"],
    ["POST", "/v2/repository/models/..%2Fadd/load", 500, "failed to load '..%2Fadd', failed to poll from model repository"],
  ])("%s %s", async (method, path, status, error) => {
    const answer = await fetch(server.url + path, { method });
    expect({ status: answer.status, ...((await answer.json()) as object) }).toEqual({ status, error });
  });
});

test.each([
  ["trace/setting", { trace_rate: "x" }, 400, "Unable to parse 'trace_rate', got: x"],
  ["trace/setting", { trace_count: "-2" }, 400, "Unable to parse 'trace_count'. Expecting value >= -1, got:-2"],
  ["trace/setting", { trace_file: "f" }, 501, "trace file location can not be updated through network protocol"],
  ["logging", { log_file: "f" }, 501, "log file location can not be updated through network protocol"],
  ["logging", { log_format: "x" }, 503, "invalid argument for --log_format, got: x"],
])("settings that can't be: %s %o", async (route, body, status, error) => {
  const answer = await post(`/v2/${route}`, body);
  expect({ status: answer.status, ...((await answer.json()) as object) }).toEqual({ status, error });
});

test("numbers of the trace below 0 are taken as Triton takes them", async () => {
  const answer = await post("/v2/trace/setting", { trace_rate: "-1", trace_count: "-1", log_frequency: "7" });
  expect(await answer.json()).toMatchObject({ trace_rate: "4294967295", trace_count: "-1", log_frequency: "7" });
  const before = await post("/v2/trace/setting", { trace_rate: null, trace_count: null, log_frequency: null });
  expect(await before.json()).toMatchObject({ trace_rate: "1000", trace_count: "-1", log_frequency: "0" });
});

test("an output that is named twice is given once", async () => {
  const answer = await post(url, { inputs: [a, b], outputs: [{ name: "sum" }, { name: "sum" }] });
  expect(((await answer.json()) as { readonly outputs: readonly object[] }).outputs).toMatchObject([{ name: "sum" }]);
});

test("JSON and binary tensors, in one batch or many", async () => {
  const answers = await Promise.all(
    Array.from({ length: 32 }, async (_, index) => {
      const answer = await post(url, { id: String(index), inputs: [fp32("a", [1, 2], [index, 1]), b] });
      return (await answer.json()) as { readonly id: string; readonly outputs: readonly { readonly data: readonly number[] }[] };
    }),
  );
  for (const [index, { id, outputs }] of answers.entries()) expect([id, outputs[0]?.data]).toEqual([String(index), [index + 1, 2]]);
  const input = (name: string): object => ({ name, datatype: "FP32", shape: [1, 2], parameters: { binary_data_size: 8 } });
  const { body, headers } = binaryBody(
    { inputs: [input("a"), input("b")], parameters: { binary_data_output: true } },
    bytesOf(1, 2),
    bytesOf(3, 4),
  );
  const answer = await post(url, body, headers);
  const bytes = new Uint8Array(await answer.arrayBuffer()).subarray(Number(answer.headers.get("inference-header-content-length")));
  expect([...new Float32Array(new Uint8Array(bytes).buffer)]).toEqual([4, 6]);
});

test("classification with labels", async () => {
  const answer = await post(url, { inputs: [a, b], outputs: [{ name: "sum", parameters: { classification: 2 } }] });
  expect(await answer.json()).toMatchObject({
    outputs: [{ name: "sum", datatype: "BYTES", shape: [1, 2], data: ["3.000000:1:dog", "2.000000:0:cat"] }],
  });
});

test("texts whose bytes are no UTF-8 come back as they were", async () => {
  const bytes = Uint8Array.of(2, 0, 0, 0, 0xff, 0xfe);
  const input = { name: "x", datatype: "BYTES", shape: [1], parameters: { binary_data_size: 6 } };
  const { body, headers } = binaryBody({ inputs: [input], parameters: { binary_data_output: true } }, bytes);
  const answer = await post("/v2/models/text/infer", body, headers);
  const length = Number(answer.headers.get("inference-header-content-length"));
  expect([...new Uint8Array(await answer.arrayBuffer()).subarray(length)]).toEqual([...bytes]);
});

test("unload, index and load, and the configuration with its defaults", async () => {
  const config = (await (await fetch(`${server.url}/v2/models/add/config`)).json()) as object;
  expect(config).toMatchObject({
    name: "add",
    max_batch_size: 4,
    version_policy: { latest: { num_versions: 1 } },
    default_model_filename: "model.onnx",
  });
  expect((await post("/v2/repository/models/text/unload", "")).status).toBe(200);
  const stateOf = async (): Promise<unknown> => {
    const lines = (await (await post("/v2/repository/index", "")).json()) as readonly { readonly name: string; readonly state?: string }[];
    return lines.find(({ name }) => name === "text")?.state;
  };
  let state: unknown;
  const watch = setInterval(() => void stateOf().then((now) => (state = now)), 20);
  await until(() => state === "UNAVAILABLE").finally(() => {
    clearInterval(watch);
  });
  expect((await fetch(`${server.url}/v2/models/text/ready`)).status).not.toBe(200);
  expect((await post("/v2/repository/models/text/load", "")).status).toBe(200);
  expect((await fetch(`${server.url}/v2/models/text/ready`)).status).toBe(200);
});
