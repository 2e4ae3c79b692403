import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fp16ToFp32, fp32ToFp16, OpenInferenceClient, Tensor, tensor, type DataType, type TensorInput } from "../../src/client.ts";
import { InferenceError } from "../../src/protocol/inference-error.ts";
import { startEchoServer, type EchoServer } from "./open-inference-server.ts";
import { startWireServer } from "./wire-server.ts";

let server: EchoServer;
let client: OpenInferenceClient;
beforeAll(async () => {
  server = await startEchoServer();
  client = new OpenInferenceClient(server.url);
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => void server.failures.splice(0));

const ofEveryType: Readonly<Record<DataType, TensorInput>> = {
  BOOL: { dataType: "BOOL", shape: [2], data: Uint8Array.of(1, 0) },
  INT8: { shape: [2], data: Int8Array.of(-128, 127) },
  INT16: { shape: [1, 2], data: Int16Array.of(-32768, 32767) },
  INT32: { shape: [2], data: Int32Array.of(-(2 ** 31), 5) },
  INT64: { shape: [2], data: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n) },
  UINT8: { shape: [2, 1], data: Uint8Array.of(0, 255) },
  UINT16: { shape: [1], data: Uint16Array.of(65535) },
  UINT32: { shape: [1], data: Uint32Array.of(2 ** 32 - 1) },
  UINT64: { shape: [2], data: BigUint64Array.of(2n ** 64n - 1n, 2n ** 53n + 1n) },
  FP16: { dataType: "FP16", shape: [2], data: fp32ToFp16([0.5, -2]) },
  BF16: { dataType: "BF16", shape: [1], data: Uint16Array.of(0x3f80) },
  FP32: { shape: [3], data: Float32Array.of(0.1, NaN, -Infinity) },
  FP64: { shape: [2], data: Float64Array.of(Math.PI, -0) },
  BYTES: { shape: [3], data: ["é", "", Uint8Array.of(0xff, 0)] },
};

describe("tensors", () => {
  test("of every data type go there and come back, as bytes", async () => {
    const { outputs, modelName, modelVersion } = await client.infer("echo", ofEveryType);
    expect([modelName, modelVersion]).toEqual(["echo", "1"]);
    for (const [name, { shape, data }] of Object.entries(ofEveryType)) {
      expect([outputs[name]?.dataType, outputs[name]?.shape, outputs[name]?.data]).toEqual([name, shape, data]);
    }
    expect(server.requests.at(-1)?.inputs.every(({ bytes }) => bytes !== undefined)).toBe(true);
    expect(fp16ToFp32(outputs.FP16?.as("FP16").data ?? [])).toEqual(Float32Array.of(0.5, -2));
  });

  test("of every data type that JSON carries go there and come back as text", async () => {
    const { FP16, BF16, ...others } = ofEveryType;
    const { outputs } = await client.infer("echo", others, { encoding: "json" });
    for (const [name, { data }] of Object.entries(others)) expect(outputs[name]?.data).toEqual(data);
    expect(server.requests.at(-1)?.inputs.every(({ bytes }) => bytes === undefined)).toBe(true);
    await expect(client.infer("echo", { FP16, BF16 }, { encoding: "json" })).rejects.toThrow(/sending FP16 data via JSON/);
  });

  test("may be Tensors, and those that are undefined are left out", async () => {
    const { outputs } = await client.infer("echo", { x: tensor("INT8", [1], Int8Array.of(5)), y: undefined });
    expect(Object.keys(outputs)).toEqual(["x"]);
    expect(Tensor.isTensor(outputs.x)).toBe(true);
  });

  test("large ones are sent from where they are, with their length, and read where they arrive", async () => {
    const data = Float32Array.from({ length: 100_000 }, (_, index) => index);
    const { outputs } = await client.infer("echo", { x: { shape: [100, 1000], data } });
    expect(outputs.x?.data).toEqual(data);
    const { headers } = server.arrivals.at(-1) ?? {};
    expect(headers?.["transfer-encoding"]).toBeUndefined();
    expect(headers?.["content-length"]).toBe(String(400_000 + Number(headers?.["inference-header-content-length"])));
    const memory = (outputs.x?.as("FP32").data.buffer.byteLength ?? 0) - data.byteLength;
    // A view on the answer, of which the JSON is the rest.
    expect(memory).toBeGreaterThan(0);
    expect(memory).toBeLessThan(1000);
  });

  test("empty ones", async () => {
    const { outputs } = await client.infer("echo", { x: { shape: [0, 4], data: new Float32Array(0) } });
    expect(outputs.x).toMatchObject({ shape: [0, 4], size: 0 });
  });

  test.each([
    [{ shape: [3], data: Float32Array.of(1) }, /^The input 'x' is no tensor: .*FP32 \[3\] has 3 elements, but its data has 1/],
    [{ shape: [1], data: [1] }, /^The input 'x' is no tensor: .*BYTES must be an array of strings/],
    [{ shape: [1], data: "text" }, /^The input 'x' is no tensor: .*no `dataType` says what it is/],
  ])("%j is refused before it is sent", async (input, message) => {
    const before = server.arrivals.length;
    const wrong = input as unknown as TensorInput;
    await expect(client.infer("echo", { x: wrong })).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(message),
    });
    expect(server.arrivals).toHaveLength(before);
  });
});

describe("a request", () => {
  const x = { shape: [1, 3], data: Float32Array.of(1, 9, 5) };

  test("carries its id, its version, parameters and sequence", async () => {
    const sequence = { id: 2n ** 60n + 1n, start: true };
    const options = { id: "7", version: "3", parameters: { temperature: 0.5 }, priority: 2, sequence };
    const { id, modelVersion } = await client.infer("echo", { x }, options);
    expect([id, modelVersion]).toEqual(["7", "3"]);
    expect(server.arrivals.at(-1)?.path).toBe("/v2/models/echo/versions/3/infer");
    expect(server.requests.at(-1)?.parameters).toEqual({
      temperature: 0.5,
      priority: 2,
      sequence_id: 2n ** 60n + 1n,
      sequence_start: true,
      sequence_end: false,
    });
  });

  test("gets the outputs that it asks for", async () => {
    const { outputs } = await client.infer("echo", { x, y: x }, { outputs: ["y"] });
    expect(Object.keys(outputs)).toEqual(["y"]);
  });

  test("gets classes", async () => {
    const { outputs } = await client.classify("echo", { x }, { x: 2 });
    expect(outputs.x.data).toEqual(["9.000000:1", "5.000000:2"]);
    expect(outputs.x.shape).toEqual([1, 2]);
  });

  test.each(["gzip", "deflate"] as const)("is compressed with %s, both ways", async (compression) => {
    const compressing = new OpenInferenceClient(server.url, { requestCompression: compression, responseCompression: "gzip" });
    const data = new Float32Array(50_000);
    const { outputs } = await compressing.infer("echo", { x: { shape: [50_000], data } });
    expect(outputs.x?.data).toEqual(data);
    expect(server.arrivals.at(-1)?.headers["content-encoding"]).toBe(compression);
    expect(server.arrivals.at(-1)?.body.length).toBeLessThan(10_000);
  });

  test("asks for no compression unless it is wanted", async () => {
    await client.infer("echo", { x });
    expect(server.arrivals.at(-1)?.headers["accept-encoding"]).toBe("identity");
  });

  test("carries token, headers, request id and deadline", async () => {
    const authorized = new OpenInferenceClient(server.url, { token: () => "secret", headers: { "x-team": "a" } });
    await authorized.infer("echo", { x }, { requestId: "r1", headers: { "x-call": "b" }, timeoutMs: 5000 });
    expect(server.arrivals.at(-1)?.headers).toMatchObject({
      authorization: "Bearer secret",
      "x-team": "a",
      "x-call": "b",
      "x-request-id": "r1",
      "x-timeout-ms": expect.stringMatching(/^(5000|4\d{3})$/),
    });
    expect(server.requests.at(-1)?.id).toBe("r1");
  });
});

describe("failures", () => {
  const x = { shape: [1], data: Float32Array.of(1) };

  test.each([
    ["NOT_FOUND", "Request for unknown model: 'M' is not found", "not_found"],
    ["INVALID_ARG", "[request id: 1] expected 2 inputs but got 1 inputs for model 'M'.", "invalid_request"],
    ["UNSUPPORTED", "Unsupported compression type", "unsupported"],
    ["INTERNAL", "failed to load 'M', failed to poll from model repository", "internal"],
    ["UNAVAILABLE", "Request timeout expired", "deadline_exceeded"],
    ["UNAVAILABLE", "Server is stopping", "unavailable"],
  ] as const)("%s %s", async (status, text, code) => {
    server.failures.push(new InferenceError(status, text));
    const before = server.arrivals.length;
    await expect(client.infer("echo", { x })).rejects.toMatchObject({ code, message: text });
    expect(server.arrivals).toHaveLength(before + 1);
  });

  test.each(["[request id: 1] Exceeds maximum queue size", "Request for unknown model: 'M' version 1 is not at ready state"])(
    "%s: nothing was done, so it is sent again, large tensors too",
    async (text) => {
      server.failures.push(new InferenceError("UNAVAILABLE", text), new InferenceError("UNAVAILABLE", text));
      const before = server.arrivals.length;
      const data = new Float32Array(30_000).fill(2);
      const { outputs } = await client.infer("echo", { x: { shape: [30_000], data } });
      expect(outputs.x?.data).toEqual(data);
      expect(server.arrivals).toHaveLength(before + 3);
    },
  );

  test("a connection that breaks is no reason to infer twice, but to read once more", async () => {
    await using breaking = await startWireServer(({ path }, response) => {
      if (breaking.arrivals.filter((arrival) => arrival.path === path).length === 1) response.destroy();
      else response.end('{"name":"s","version":"1","extensions":[]}');
    });
    const unlucky = new OpenInferenceClient(breaking.url);
    await expect(unlucky.infer("m", { x })).rejects.toMatchObject({ code: "unavailable" });
    expect(breaking.arrivals).toHaveLength(1);
    await expect(unlucky.serverMetadata()).resolves.toEqual({ name: "s", version: "1", extensions: [] });
    expect(breaking.arrivals).toHaveLength(3);
  });

  test("deadline and cancellation", async () => {
    await using silent = await startWireServer(() => undefined);
    const waiting = new OpenInferenceClient(silent.url);
    await expect(waiting.infer("m", { x }, { timeoutMs: 50 })).rejects.toMatchObject({ code: "deadline_exceeded" });
    await expect(waiting.infer("m", { x }, { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ code: "cancelled" });
  });

  test.each([
    ["no JSON", "nonsense", {}],
    ["no outputs", '{"model_name":"m"}', {}],
    ["a header length past the body", "{}", { "inference-header-content-length": "5" }],
    ["a header length that is none", "{}", { "inference-header-content-length": "x" }],
    [
      "a body that ends too soon",
      '{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}',
      {},
    ],
    [
      "a size that does not fit",
      '{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":0}}]}',
      {},
    ],
    ["a shape that claims much", '{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1099511627776],"data":[1]}]}', {}],
    ["a text too few", '{"model_name":"m","outputs":[{"name":"y","datatype":"BYTES","shape":[2],"data":["a"]}]}', {}],
  ])("an answer with %s", async (_what, body, headers) => {
    await using wrong = await startWireServer((_arrival, response) => void response.writeHead(200, headers).end(body));
    await expect(new OpenInferenceClient(wrong.url).infer("m", { x })).rejects.toMatchObject({ code: "internal" });
  });

  test.each([
    ["requestCompression", { requestCompression: "br" }],
    ["timeoutMs", { timeoutMs: -1 }],
  ])("a wrong %s", (name, options) => {
    expect(() => new OpenInferenceClient("http://h", options as object)).toThrow(name);
  });
});

describe("health", () => {
  test.each([
    [200, true],
    [400, false],
    [404, false],
    [503, false],
  ])("%d", async (status, ready) => {
    await using wire = await startWireServer((_arrival, response) => void response.writeHead(status).end());
    const asking = new OpenInferenceClient(wire.url);
    await expect(asking.modelReady("a/b", { version: "2" })).resolves.toBe(ready);
    expect(wire.arrivals[0]).toMatchObject({ method: "GET", path: "/v2/models/a%2Fb/versions/2/ready" });
    if (status === 404) return;
    await expect(asking.live()).resolves.toBe(ready);
    await expect(asking.ready()).resolves.toBe(ready);
    expect(wire.arrivals.map(({ path }) => path).slice(1)).toEqual(["/v2/health/live", "/v2/health/ready"]);
  });

  test("a server that can't be reached is not live; one that asks for a token is none to tell", async () => {
    const { url } = await startWireServer(() => undefined).then(async (gone) => {
      await gone[Symbol.asyncDispose]();
      return gone;
    });
    await expect(new OpenInferenceClient(url).live()).resolves.toBe(false);
    await using closed = await startWireServer((_arrival, response) => void response.writeHead(401).end());
    await expect(new OpenInferenceClient(closed.url).live()).rejects.toMatchObject({ code: "unauthenticated" });
  });
});

describe("what a server tells, and how models are loaded", () => {
  const routes: Readonly<Record<string, unknown>> = {
    "GET /base/v2/models/m": { name: "m", versions: ["1"], platform: "p", inputs: [], outputs: [] },
    "GET /base/v2/models/m/config": { name: "m", max_batch_size: 8 },
    "GET /base/v2/models/m/versions/2/stats": { model_stats: [{ name: "m" }] },
    "GET /base/v2/models/stats": { model_stats: [] },
    "POST /base/v2/repository/index": [{ name: "m", state: "READY" }],
    "POST /base/v2/repository/models/m/load": "",
    "POST /base/v2/repository/models/m/unload": "",
  };

  test("goes to the protocol's routes, below the path of the URL", async () => {
    await using wire = await startWireServer(({ method, path }, response) => {
      const body = routes[`${method} ${path}`];
      response.writeHead(body === undefined ? 404 : 200).end(body === "" ? "" : JSON.stringify(body));
    });
    const admin = new OpenInferenceClient(`${wire.url}/base/`);
    expect(await admin.modelMetadata("m")).toMatchObject({ platform: "p" });
    expect(await admin.modelConfig("m")).toEqual({ name: "m", max_batch_size: 8 });
    expect(await admin.statistics("m", { version: "2" })).toHaveLength(1);
    expect(await admin.statistics()).toEqual([]);
    expect(await admin.index({ ready: true })).toEqual([{ name: "m", state: "READY" }]);
    const bytes = Uint8Array.from({ length: 100_000 }, (_, index) => index);
    await admin.load("m", { config: { backend: "onnxruntime" }, files: { "1/model.onnx": bytes } });
    await admin.unload("m", { unloadDependents: true });
    const bodies = wire.arrivals.slice(-3).map(({ body }) => JSON.parse(body.toString()) as Record<string, Record<string, string>>);
    expect(bodies[0]).toEqual({ ready: true });
    expect(bodies[1]?.parameters?.config).toBe('{"backend":"onnxruntime"}');
    expect(Buffer.from(bodies[1]?.parameters?.["file:1/model.onnx"] ?? "", "base64").equals(bytes)).toBe(true);
    expect(bodies[2]).toEqual({ parameters: { unload_dependents: true } });
    await expect(admin.load("m", { files: { x: bytes } })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(admin.modelMetadata("other")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("generate", () => {
  test("one answer", async () => {
    expect(await client.generate("echo", { text: "hi" })).toEqual({ model_name: "echo", model_version: "1", text: "hi" });
  });

  test("a stream of them", async () => {
    const texts: unknown[] = [];
    for await (const { text } of client.generateStream("echo", { text: "hi" })) texts.push(text);
    expect(texts).toEqual(["hi", "hi"]);
  });

  test("a failure on the way comes after the answers before it", async () => {
    const stream = client.generateStream("echo", { text: "hi", fail: true });
    expect([await stream.next(), await stream.next()]).toMatchObject([{ value: { text: "hi" } }, { value: { text: "hi" } }]);
    await expect(stream.next()).rejects.toMatchObject({ code: "service_failed", message: "it broke" });
  });

  test("a stream that is left ends its request, and one that hangs its deadline", async () => {
    for await (const _item of client.generateStream("echo", { text: "hi", hang: true })) break;
    const hanging = client.generateStream("echo", { text: "hi", hang: true }, { timeoutMs: 100 });
    await hanging.next();
    await hanging.next();
    await expect(hanging.next()).rejects.toMatchObject({ code: "deadline_exceeded" });
  });
});
