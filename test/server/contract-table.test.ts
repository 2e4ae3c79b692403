/** The contract's table of errors, row by row, as real clients meet it: the real server, over both wires, each with its status and its text. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelGrpcServer } from "servable/grpc";
import { ModelHttpServer } from "servable/http";
import { Caller, grpc, messages } from "../grpc/calling.ts";
import { keepLog } from "../support/serving.ts";
import { contractModels } from "./contract-models.ts";
import { serveRepository, type Served } from "./support.ts";

const { inference: types } = messages;
const service = "/inference.GRPCInferenceService";

interface Wires extends AsyncDisposable {
  readonly url: string;
  readonly caller: Caller;
}

let served: Served;
let wires: Wires;
let fixedServed: Served;
let fixedWires: Wires;

async function listen({ server }: Served): Promise<Wires> {
  const http = new ModelHttpServer({ plane: server, port: 0, log: keepLog() });
  const rpc = new ModelGrpcServer({ plane: server, port: 0, log: keepLog() });
  await Promise.all([http.start(), rpc.start()]);
  const caller = new Caller(rpc.url);
  return {
    url: http.url,
    caller,
    async [Symbol.asyncDispose]() {
      caller[Symbol.dispose]();
      await http.drain(100);
      await Promise.all([rpc.stop(100), http.stop(100)]);
    },
  };
}

beforeAll(async () => {
  served = await serveRepository(contractModels, { control: "explicit", loadModels: ["*"], exitOnError: false });
  fixedServed = await serveRepository({ "plain/1/model.onnx": contractModels["plain/1/model.onnx"] ?? "" });
  [wires, fixedWires] = await Promise.all([listen(served), listen(fixedServed)]);
});
afterAll(async () => {
  await Promise.all([wires[Symbol.asyncDispose](), fixedWires[Symbol.asyncDispose]()]);
  await Promise.all([served[Symbol.asyncDispose](), fixedServed[Symbol.asyncDispose]()]);
});

/** A tensor of a request: over HTTP as JSON (or as bytes, where `raw` is given), over gRPC raw. */
interface Tensor {
  readonly name: string;
  readonly datatype: "FP32" | "INT32" | "BYTES";
  readonly shape: readonly number[];
  readonly data?: readonly (number | string)[];
  readonly raw?: Uint8Array;
}

interface Inference {
  readonly model: string;
  readonly version?: string;
  readonly id?: string;
  readonly inputs?: readonly Tensor[];
  readonly outputs?: readonly string[];
}

interface Answered {
  readonly status: number | string;
  readonly text: string;
}

const rawOf = ({ datatype, data = [], raw }: Tensor): Uint8Array => {
  if (raw !== undefined) return raw;
  if (datatype === "FP32") return new Uint8Array(Float32Array.from(data as number[]).buffer);
  if (datatype === "INT32") return new Uint8Array(Int32Array.from(data as number[]).buffer);
  return Buffer.concat(
    (data as string[]).map((text) => Buffer.concat([new Uint8Array(Uint32Array.of(text.length).buffer), Buffer.from(text)])),
  );
};

async function send(
  path: string,
  body: string | Uint8Array = "",
  headers: Record<string, string> = {},
  url = wires.url,
): Promise<Answered> {
  const answer = await fetch(url + path, { method: "POST", body, headers });
  const text = await answer.text();
  return { status: answer.status, text: answer.status === 200 ? text : (JSON.parse(text) as { error: string }).error };
}

function overHttp({ model, version, id, inputs = [], outputs }: Inference): Promise<Answered> {
  const path = `/v2/models/${model}${version === undefined ? "" : `/versions/${version}`}/infer`;
  const binary = inputs.filter(({ raw }) => raw !== undefined);
  const json = JSON.stringify({
    id,
    inputs: inputs.map(({ name, datatype, shape, data, raw }) => ({
      name,
      datatype,
      shape,
      ...(raw === undefined ? { data } : { parameters: { binary_data_size: raw.byteLength } }),
    })),
    outputs: outputs?.map((name) => ({ name })),
  });
  if (binary.length === 0) return send(path, json);
  const body = Buffer.concat([Buffer.from(json), ...binary.map(rawOf)]);
  return send(path, body, { "inference-header-content-length": String(Buffer.byteLength(json)) });
}

async function overGrpc({ model, version = "", id = "", inputs = [], outputs = [] }: Inference): Promise<Answered> {
  const { code, details } = await wires.caller.infer({
    modelName: model,
    modelVersion: version,
    id,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: [...shape] })),
    outputs: outputs.map((name) => ({ name })),
    rawInputContents: inputs.map(rawOf),
  });
  return { status: grpc.status[code] ?? code, text: details };
}

const fp32 = (name: string, shape: readonly number[], ...data: number[]): Tensor => ({ name, datatype: "FP32", shape, data });
const texts = (...data: string[]): Tensor => ({ name: "x", datatype: "BYTES", shape: [2], data });
const [a, b] = [fp32("a", [1, 2], 1, 2), fp32("b", [1, 2], 3, 4)];
const nobody = "[request id: <id_unknown>] ";
const zeros = (count: number): number[] => new Array<number>(count).fill(0);
const batchNote =
  "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input shape. If you want to " +
  "specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See the model configuration " +
  "docs for more info on max_batch_size.";

type Row = readonly [row: string, request: Inference, http: number, rpc: string, text: string];

describe("both wires say the same of an inference", () => {
  const rows: readonly Row[] = [
    ["unknown model", { model: "nobody" }, 404, "NOT_FOUND", "Request for unknown model: 'nobody' is not found"],
    ["unknown version", { model: "pair", version: "7" }, 404, "NOT_FOUND", "Request for unknown model: 'pair' version 7 is not found"],
    ["no version", { model: "cut" }, 404, "NOT_FOUND", "Request for unknown model: 'cut' has no available versions"],
    [
      "version not ready",
      { model: "cut", version: "1" },
      503,
      "UNAVAILABLE",
      "Request for unknown model: 'cut' version 1 is not at ready state",
    ],
    [
      "version text",
      { model: "pair", version: "99999999999999999999" },
      400,
      "INVALID_ARGUMENT",
      "failed to get model version from specified version string '99999999999999999999' (details: stol), version should be an integral value > 0",
    ],
    [
      "shape",
      { model: "plain", inputs: [fp32("x", [2, 4], ...zeros(8))] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}unexpected shape for input 'x' for model 'plain'. Expected [2,3], got [2,4]. `,
    ],
    [
      "shape of a batch",
      { model: "pair", id: "42", inputs: [fp32("a", [1, 3], 1, 2, 3), b] },
      400,
      "INVALID_ARGUMENT",
      `[request id: 42] unexpected shape for input 'a' for model 'pair'. Expected [-1,2], got [1,3]. ${batchNote}`,
    ],
    [
      "batch too big",
      { model: "pair", inputs: [fp32("a", [9, 2], ...zeros(18)), fp32("b", [9, 2], ...zeros(18))] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}inference request batch-size must be <= 8 for 'pair'`,
    ],
    [
      "no batch axis",
      { model: "pair", inputs: [fp32("a", [9], ...zeros(9)), fp32("b", [9], ...zeros(9))] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}inference request batch-size must be <= 8 for 'pair'`,
    ],
    [
      "batches differ",
      { model: "pair", inputs: [a, fp32("b", [2, 2], 1, 2, 3, 4)] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}input 'b' batch size does not match other inputs for 'pair'`,
    ],
    [
      "batch 0",
      { model: "pair", inputs: [fp32("a", [0, 2]), fp32("b", [0, 2])] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}input byte size mismatch for input 'a' for model 'pair'. Expected 8, got 0`,
    ],
    [
      "data type",
      { model: "plain", inputs: [{ name: "x", datatype: "INT32", shape: [2, 3], data: zeros(6) }] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}inference input 'x' data-type is 'INT32', but model 'plain' expects 'FP32'`,
    ],
    [
      "too few texts",
      { model: "texts", inputs: [{ ...texts("a"), raw: rawOf(texts("a")) }] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}expected 2 string elements for inference input 'x' for model 'texts', got 1`,
    ],
    [
      "too many texts",
      { model: "texts", inputs: [{ ...texts(), raw: rawOf(texts("a", "b", "c")) }] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}unexpected number of string elements 3 for inference input 'x' for model 'texts', expecting 2`,
    ],
    [
      "the length of a text cut off",
      { model: "texts", inputs: [{ ...texts(), raw: Uint8Array.of(0, 0, 0, 0, 1, 0) }] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}incomplete string length indicator for inference input 'x' for model 'texts', expecting 4 bytes but only 2 bytes available. ` +
        "Please make sure the string length indicator is in one buffer.",
    ],
    [
      "the length of a text that lies",
      { model: "texts", inputs: [{ ...texts(), raw: Uint8Array.of(9, 0, 0, 0, 97) }] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}incomplete string data for inference input 'x' for model 'texts', expecting string of length 9 but only 1 bytes available`,
    ],
    [
      "count",
      { model: "pair", inputs: [a] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}expected 2 inputs but got 1 inputs for model 'pair'. Got input(s) ['a'], but missing required input(s) ['b']. Please provide all required input(s).`,
    ],
    [
      "count of optional inputs",
      { model: "optional", inputs: [] },
      400,
      "INVALID_ARGUMENT",
      `${nobody}expected number of inputs between 1 and 2 but got 0 inputs for model 'optional'. Got input(s) [], but missing required input(s) ['x']. Please provide all required input(s).`,
    ],
    [
      "an unknown input",
      { model: "pair", inputs: [a, fp32("c", [1, 2], 1, 2)] },
      400,
      "INVALID_ARGUMENT",
      "unexpected inference input 'c' for model 'pair'",
    ],
    [
      "an unknown output",
      { model: "pair", inputs: [a, b], outputs: ["difference"] },
      400,
      "INVALID_ARGUMENT",
      "unexpected inference output 'difference' for model 'pair'",
    ],
    ["the same input twice", { model: "pair", inputs: [a, a] }, 400, "INVALID_ARGUMENT", `${nobody}input 'a' already exists in request`],
    [
      "in an ensemble",
      { model: "whole", id: "7", inputs: [fp32("in", [3, 2], ...zeros(6))] },
      400,
      "INVALID_ARGUMENT",
      "in ensemble 'whole', [request id: 7] inference request batch-size must be <= 2 for 'part'",
    ],
  ];
  test.each(rows)("%s", async (_row, request, http, rpc, text) => {
    expect({ http: await overHttp(request), rpc: await overGrpc(request) }).toEqual({
      http: { status: http, text },
      rpc: { status: rpc, text },
    });
  });
});

describe("bytes that do not fill the shape", () => {
  const given = (bytes: number): Inference => ({
    model: "plain",
    inputs: [{ name: "x", datatype: "FP32", shape: [2, 3], raw: new Uint8Array(bytes) }],
  });
  test.each([20, 28])("%i instead of 24, over either wire", async (bytes) => {
    const text = `${nobody}input byte size mismatch for input 'x' for model 'plain'. Expected 24, got ${bytes}`;
    expect(await overGrpc(given(bytes))).toEqual({ status: "INVALID_ARGUMENT", text });
    expect(await overHttp(given(bytes))).toEqual({ status: 400, text });
  });

  const header = JSON.stringify({ inputs: [{ name: "x", datatype: "FP32", shape: [2, 3], parameters: { binary_data_size: 24 } }] });
  test.each([
    [20, "unexpected size for input 'x', expecting 4 additional bytes for model 'plain'"],
    [25, "unexpected additional input data for model 'plain'"],
  ])("an HTTP body with %i of 24", async (bytes, text) => {
    const body = Buffer.concat([Buffer.from(header), new Uint8Array(bytes)]);
    const answer = await send("/v2/models/plain/infer", body, { "inference-header-content-length": String(header.length) });
    expect(answer).toEqual({ status: 400, text });
  });
});

describe("the text of a version, over gRPC", () => {
  const ofVersion = "failed to get model version from specified version string";
  test.each([
    ["abc", `${ofVersion} 'abc' (details: stol)`],
    ["-1", "invalid model version specified '-1' "],
  ])("%j", async (version, what) => {
    const text = `${what}, version should be an integral value > 0`;
    const refused = { code: grpc.status.INVALID_ARGUMENT, details: text };
    const name = "pair";
    const { caller } = wires;
    expect(await overGrpc({ model: name, version })).toEqual({ status: "INVALID_ARGUMENT", text });
    expect(await caller.unary(`${service}/ModelReady`, types.ModelReadyRequest, types.ModelReadyResponse, { name, version })).toMatchObject(
      refused,
    );
    expect(
      await caller.unary(`${service}/ModelMetadata`, types.ModelMetadataRequest, types.ModelMetadataResponse, { name, version }),
    ).toMatchObject(refused);
    expect(
      await caller.unary(`${service}/ModelConfig`, types.ModelConfigRequest, types.ModelConfigResponse, { name, version }),
    ).toMatchObject(refused);
    expect(
      await caller.unary(`${service}/ModelStatistics`, types.ModelStatisticsRequest, types.ModelStatisticsResponse, { name, version }),
    ).toMatchObject(refused);
  });

  test("leading zeros do not matter", async () => {
    expect(await overGrpc({ model: "pair", version: "01", inputs: [a, b] })).toEqual({ status: "OK", text: "OK" });
    expect((await overHttp({ model: "pair", version: "01", inputs: [a, b] })).status).toBe(200);
  });
});

describe("a queue that is full, and one that is slow", () => {
  test("the first runs, the second is too late, the third is refused", async () => {
    const request: Inference = { model: "slow", id: "q", inputs: [fp32("x", [1, 1], 1)] };
    for (const ask of [overHttp, overGrpc]) {
      const first = ask(request);
      await new Promise((resolve) => setTimeout(resolve, 60));
      const second = ask(request);
      await new Promise((resolve) => setTimeout(resolve, 30));
      const unavailable = ask === overHttp ? 503 : "UNAVAILABLE";
      expect(await ask(request)).toEqual({ status: unavailable, text: "[request id: q] Exceeds maximum queue size" });
      expect(await second).toEqual({ status: unavailable, text: "Request timeout expired" });
      expect((await first).status).toBe(ask === overHttp ? 200 : "OK");
    }
  });
});

describe("what the repository refuses", () => {
  const load = async (name: string, parameters = {}, from = wires): Promise<readonly Answered[]> => {
    const http = await send(`/v2/repository/models/${encodeURIComponent(name)}/load`, JSON.stringify({ parameters }), {}, from.url);
    const { code, details } = await from.caller.unary(
      `${service}/RepositoryModelLoad`,
      types.RepositoryModelLoadRequest,
      types.RepositoryModelLoadResponse,
      {
        modelName: name,
        parameters: Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, { stringParam: String(value) }])),
      },
    );
    return [http, { status: grpc.status[code] ?? code, text: details }];
  };

  test.each([
    ["a missing model", "nobody", {}],
    ["a configuration that can't be read", "garbled", {}],
    ["a configuration that is no JSON", "plain", { config: "{" }],
    ["a configuration with a field that there is not", "plain", { config: '{"no_such_field":1}' }],
  ])("%s", async (_case, name, parameters) => {
    const text = `failed to load '${name}', failed to poll from model repository`;
    expect(await load(name, parameters)).toEqual([
      { status: 500, text },
      { status: "INTERNAL", text },
    ]);
  });

  test.each(["..", ".", "a/b", "../plain", "a\0b"])("a name such as %j", async (name) => {
    const [, rpc] = await load(name);
    expect(rpc).toMatchObject({ status: "INTERNAL", text: `failed to load '${name}', failed to poll from model repository` });
  });

  test("a model that its backend can't load, with the reason", async () => {
    const [http, rpc] = await load("cut");
    expect(http).toMatchObject({ status: 400 });
    expect(rpc).toMatchObject({ status: "INVALID_ARGUMENT" });
    for (const answer of [http, rpc]) expect(answer?.text).toMatch(/^load failed for model 'cut': version 1 is at UNAVAILABLE state: .+;/);
  });

  test("a model without a version that its policy wants", async () => {
    const text = "load failed for model 'nothing': at least one version must be available under the version policy of model 'nothing'\n";
    expect(await load("nothing")).toEqual([
      { status: 400, text },
      { status: "INVALID_ARGUMENT", text },
    ]);
  });

  test("loads and unloads where the server has not been told to take them", async () => {
    const text = "explicit model load / unload is not allowed if polling is enabled";
    expect(await load("plain", {}, fixedWires)).toEqual([
      { status: 503, text },
      { status: "UNAVAILABLE", text },
    ]);
    expect(await send("/v2/repository/models/plain/unload", "", {}, fixedWires.url)).toEqual({ status: 503, text });
  });

  test("a repository's name", async () => {
    const text = "'repository_name' specification is not supported";
    for (const path of ["index", "models/plain/load", "models/plain/unload"]) {
      expect(await send(`/v2/repository/mine/${path}`)).toEqual({ status: 501, text });
    }
    const refused = { code: grpc.status.UNIMPLEMENTED, details: text };
    const named = { repositoryName: "mine", modelName: "plain" };
    const { caller } = wires;
    expect(
      await caller.unary(`${service}/RepositoryIndex`, types.RepositoryIndexRequest, types.RepositoryIndexResponse, named),
    ).toMatchObject(refused);
    expect(
      await caller.unary(`${service}/RepositoryModelLoad`, types.RepositoryModelLoadRequest, types.RepositoryModelLoadResponse, named),
    ).toMatchObject(refused);
    expect(
      await caller.unary(
        `${service}/RepositoryModelUnload`,
        types.RepositoryModelUnloadRequest,
        types.RepositoryModelUnloadResponse,
        named,
      ),
    ).toMatchObject(refused);
  });

  test("an unload of what is unknown is no failure", async () => {
    expect(await send("/v2/repository/models/nobody/unload")).toEqual({ status: 200, text: "" });
    const { caller } = wires;
    const answer = await caller.unary(
      `${service}/RepositoryModelUnload`,
      types.RepositoryModelUnloadRequest,
      types.RepositoryModelUnloadResponse,
      { modelName: "nobody" },
    );
    expect(answer.code).toBe(grpc.status.OK);
  });
});
