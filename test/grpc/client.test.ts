/** The client over gRPC, against a real server of ours; what it shares with the one over HTTP is tried there. */
import { createServer, type Server, type Socket } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { GrpcInferenceClient } from "../../src/client/grpc/grpc-inference-client.ts";
import { ModelGrpcServer } from "../../src/runtime/grpc/model-grpc-server.ts";
import type { DataType, TensorData } from "../../src/tensor/data-type.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { keepLog, until } from "../support/serving.ts";
import { sized } from "../support/sizes.ts";
import { addPlane, type AddPlane } from "./add-plane.ts";

let plane: AddPlane;
let server: ModelGrpcServer;
let client: GrpcInferenceClient;

beforeAll(async () => {
  plane = addPlane();
  server = new ModelGrpcServer({ plane, log: keepLog(), port: 0 });
  await server.start();
  client = new GrpcInferenceClient(server.url);
});
afterAll(async () => {
  client.close();
  await server.stop(100);
});
beforeEach(() => {
  plane.requests.length = plane.seen.length = plane.loaded.length = 0;
});

const int = (value: number): { readonly N: { readonly shape: readonly [1]; readonly data: Int32Array } } => ({
  N: { shape: [1], data: Int32Array.of(value) },
});

test("adds two tensors", async () => {
  const { outputs, ...rest } = await client.infer(
    "add",
    { A: { shape: [2], data: Float32Array.of(1, 2) }, B: { shape: [2], data: Float32Array.of(10, 20) } },
    { id: "7", parameters: { mine: 5, big: 2n ** 60n, ratio: 0.25 }, priority: 2, sequence: { id: 2n ** 63n - 1n, start: true } },
  );
  expect(outputs.SUM?.as("FP32").data).toEqual(Float32Array.of(11, 22));
  expect(rest).toEqual({ modelName: "add", modelVersion: "1", id: "7", parameters: {} });
  expect(plane.requests[0]?.parameters).toEqual({
    mine: 5,
    big: 2n ** 60n,
    ratio: 0.25,
    priority: 2,
    sequence_id: 2n ** 63n - 1n,
    sequence_start: true,
    sequence_end: false,
  });
});

const whole = { min: -128, max: 127 };
const small = (min: number, max: number) => fc.array(fc.integer({ min, max }), { maxLength: 20 });
const data: Record<DataType, fc.Arbitrary<TensorData>> = {
  BOOL: small(0, 1).map((x) => Uint8Array.from(x)),
  INT8: small(whole.min, whole.max).map((x) => Int8Array.from(x)),
  INT16: small(-(2 ** 15), 2 ** 15 - 1).map((x) => Int16Array.from(x)),
  INT32: small(-(2 ** 31), 2 ** 31 - 1).map((x) => Int32Array.from(x)),
  INT64: fc.bigInt64Array({ maxLength: 20 }),
  UINT8: fc.uint8Array({ maxLength: 20 }),
  UINT16: fc.uint16Array({ maxLength: 20 }),
  UINT32: fc.uint32Array({ maxLength: 20 }),
  UINT64: fc.bigUint64Array({ maxLength: 20 }),
  FP16: fc.uint16Array({ maxLength: 20 }),
  BF16: fc.uint16Array({ maxLength: 20 }),
  FP32: fc.float32Array({ maxLength: 20 }),
  FP64: fc.float64Array({ maxLength: 20 }),
  BYTES: fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constant(Uint8Array.of(255, 254, 0))), { maxLength: 20 }),
};

test.each(Object.keys(data) as DataType[])("%s goes there and back, whatever is in it", async (dataType) => {
  await fc.assert(
    fc.asyncProperty(data[dataType], async (elements) => {
      const { outputs } = await client.infer("echo", { X: { dataType, shape: [elements.length], data: elements } as never });
      expect(outputs.X?.dataType).toBe(dataType);
      expect(outputs.X?.shape).toEqual([elements.length]);
      expect(outputs.X?.data).toEqual(elements);
    }),
    { numRuns: 20 },
  );
});

test("tensors of 16 MB, compressed either way, too", async () => {
  const big = new Float64Array(2 * 1024 * 1024).map((_, i) => i % 1_000);
  for (const compression of [undefined, "gzip", "deflate"] as const) {
    const other = new GrpcInferenceClient(server.url, { compression });
    const { outputs } = await other.infer("echo", { X: { shape: [big.length], data: big } });
    expect(
      Buffer.compare(
        new Uint8Array(outputs.X!.as("FP64").data.buffer, outputs.X!.as("FP64").data.byteOffset, big.byteLength),
        new Uint8Array(big.buffer),
      ),
    ).toBe(0);
    other.close();
  }
});

test("a tensor whose length takes all the bytes that a length may take, with FULL_TESTS=1, too", async () => {
  const data = new Uint8Array(sized(1, 300) * 1024 * 1024).fill(7);
  const { outputs } = await client.infer("echo", { X: { shape: [data.length], data } }, { timeoutMs: 120_000 });
  expect(Buffer.compare(outputs.X!.data as Uint8Array, data)).toBe(0);
}, 120_000);

test("a request that is larger than any message is not sent", async () => {
  // Nobody touches its memory.
  const data = new Uint8Array(2 ** 31);
  await expect(client.infer("echo", { X: { shape: [data.length], data } })).rejects.toMatchObject({
    code: "payload_too_large",
    message: expect.stringMatching(/^The request has 21474836\d\d bytes, and a gRPC message may have 2147483647: /) as string,
  });
});

test("everything else that the server can be asked", async () => {
  expect(await client.live()).toBe(true);
  expect(await client.ready()).toBe(true);
  expect([await client.modelReady("add"), await client.modelReady("nobody")]).toEqual([true, false]);
  expect(await client.serverMetadata()).toEqual({ name: "servable", version: "1.2.3", extensions: ["statistics", "binary_tensor_data"] });
  expect(await client.modelMetadata("add")).toEqual(plane.modelMetadata("add", ""));
  expect(await client.statistics()).toEqual(plane.statistics("", ""));
  expect(await client.statistics("echo")).toEqual(plane.statistics("echo", ""));
  expect(await client.index()).toEqual([{ name: "add", version: "1", state: "READY" }, { name: "never" }]);
  expect(await client.index({ ready: true })).toHaveLength(1);
  await client.load("m", { config: { backend: "onnxruntime" }, files: { "1/model.onnx": Uint8Array.of(1) } });
  await client.unload("m", { unloadDependents: true });
  expect(plane.loaded.map(({ name, overrides }) => [name, overrides.config])).toEqual([
    ["m", '{"backend":"onnxruntime"}'],
    ["unload m true", undefined],
  ]);
  expect([...plane.loaded[0]!.overrides.files!.keys()]).toEqual(["1/model.onnx"]);
});

test("a model's configuration, with the names and the defaults that HTTP gives", async () => {
  const config = await client.modelConfig("add");
  expect(config).toMatchObject({
    name: "add",
    platform: "",
    max_batch_size: 8,
    version_policy: { latest: { num_versions: 1 } },
    input: [
      {
        name: "A",
        data_type: "TYPE_FP32",
        format: "FORMAT_NONE",
        dims: [-1],
        reshape: { shape: [1, -1] },
        is_shape_tensor: false,
        optional: false,
      },
    ],
    dynamic_batching: { preferred_batch_size: [4, 8], priority_queue_policy: { "1": { timeout_action: "DELAY", max_queue_size: 3 } } },
    parameters: { threads: { string_value: "2" } },
    model_warmup: [{ inputs: { A: { data_type: "TYPE_FP32", zero_data: true } } }],
    metric_tags: {},
  });
  expect(config).not.toHaveProperty("optimization");
  expect(config).not.toHaveProperty("ensemble_scheduling");
});

describe("failures", () => {
  test.each([
    ["nobody", {}, "not_found", "Request for unknown model: 'nobody' is not found"],
    ["echo", { version: "abc" }, "invalid_request", /failed to get model version/],
    ["repeat", {}, "unsupported", /decoupled/],
    ["echo", { parameters: { triton_x: true } }, "invalid_request", /reserved for Triton/],
  ])("come with the server's words: %s %j", async (model, options, code, message) => {
    await expect(client.infer(model, int(1), options)).rejects.toMatchObject({
      code,
      message: typeof message === "string" ? message : (expect.stringMatching(message) as string),
    });
  });

  test("a server that is not there", async () => {
    const nobody = new GrpcInferenceClient("grpc://127.0.0.1:1", { retries: 0 });
    expect([await nobody.live(), await nobody.ready(), await nobody.modelReady("m")]).toEqual([false, false, false]);
    await expect(nobody.infer("m", int(1))).rejects.toMatchObject({ code: "unavailable" });
    nobody.close();
  });

  test("one that takes the connection and says nothing: the time-out ends it", async () => {
    const sockets: Socket[] = [];
    const silent: Server = createServer((socket) => sockets.push(socket.on("error", () => undefined)));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const waiting = new GrpcInferenceClient(`127.0.0.1:${port}`, { timeoutMs: 200 });
    await expect(waiting.infer("m", int(1))).rejects.toMatchObject({ code: "deadline_exceeded" });
    waiting.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  test("a signal cancels the call, and what runs for it", async () => {
    const aborter = new AbortController();
    const call = client.infer("sleep", int(20_000), { signal: aborter.signal });
    await until(() => plane.inHand === 1);
    aborter.abort();
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
    await until(() => plane.inHand === 0);
    await expect(client.infer("echo", int(1), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "cancelled" });
  });

  test("what was turned away for a full queue is sent again", async () => {
    const usual = plane.model.bind(plane);
    let refusals = 2;
    const model: AddPlane["model"] = (name, version) => {
      const served = usual(name, version);
      return {
        ...served,
        admit: (caller) => {
          if (refusals === 0) return served.admit(caller);
          refusals -= 1;
          // As a full queue refuses.
          plane.inHand += 500;
          try {
            return served.admit(caller);
          } finally {
            plane.inHand -= 500;
          }
        },
      };
    };
    Object.assign(plane, { model });
    try {
      expect((await client.infer("echo", int(5))).outputs.N?.data).toEqual(Int32Array.of(5));
      refusals = 9;
      await expect(client.infer("echo", int(5), { retries: 1 })).rejects.toMatchObject({ code: "overloaded" });
      expect(refusals).toBe(7);
    } finally {
      Object.assign(plane, { model: usual });
    }
  });

  test("addresses and options that make no sense", () => {
    for (const url of ["", "http://127.0.0.1:1", "grpc://", "grpc://a/b"])
      expect(() => new GrpcInferenceClient(url)).toThrow(/no address of a gRPC server/);
    expect(() => new GrpcInferenceClient("grpc://a:1", { maxMessageBytes: 0 })).toThrow(/maxMessageBytes/);
    expect(() => new GrpcInferenceClient("grpc://a:1", { timeoutMs: 0 })).toThrow(/timeoutMs/);
  });
});

describe("streams", () => {
  test("any number of answers to one request", async () => {
    const values: number[] = [];
    for await (const { outputs } of client.inferStream("repeat", int(5))) values.push(outputs.OUT!.as("INT32").data[0]!);
    expect(values).toEqual([0, 1, 2, 3, 4]);
    for await (const _ of client.inferStream("repeat", int(0))) throw new Error("an answer too many");
    const one: unknown[] = [];
    for await (const { outputs, parameters } of client.inferStream("echo", int(9))) one.push([outputs.N?.data, parameters]);
    expect(one).toEqual([[Int32Array.of(9), {}]]);
  });

  test("leaving the loop ends the request", async () => {
    for await (const _ of client.inferStream("repeat", int(1_000_000))) break;
    await until(() => plane.inHand === 0);
  });

  test("an error is thrown", async () => {
    await expect(client.inferStream("nobody", int(1)).next()).rejects.toMatchObject({ code: "not_found" });
  });

  test("a signal ends it", async () => {
    const aborter = new AbortController();
    const loop = (async () => {
      for await (const _ of client.inferStream("repeat", int(1_000_000), { signal: aborter.signal })) aborter.abort();
    })();
    await expect(loop).rejects.toMatchObject({ code: "cancelled" });
    await until(() => plane.inHand === 0);
  });

  test("each of many requests, in order, with an error in its place", async () => {
    const requests = [30, 1, -1, 20, 0].map((ms, i) =>
      ms < 0 ? { inputs: {}, id: String(i), parameters: { triton_x: 1 } } : { inputs: int(ms), id: String(i) },
    );
    const got: unknown[] = [];
    for await (const { id, result, error } of client.inferEach("sleep", requests as never))
      got.push([id, (result?.outputs as Record<string, Tensor> | undefined)?.N?.data[0] ?? error?.code]);
    expect(got).toEqual([
      ["0", 30],
      ["1", 1],
      ["2", "invalid_request"],
      ["3", 20],
      ["4", 0],
    ]);
  });

  test("requests are asked for no faster than they are taken, and what their source throws is thrown", async () => {
    let asked = 0;
    const endless = (async function* () {
      for (; ; asked += 1) yield { inputs: { X: { shape: [65_536] as const, data: new Uint8Array(65_536) } } };
    })();
    const results = client.inferEach("echo", endless);
    await results.next();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(asked).toBeLessThan(1_000);
    await results.return?.();
    await until(() => plane.inHand === 0);
    const broken = (async function* () {
      yield await Promise.resolve({ inputs: int(1) });
      throw new RangeError("from the source");
    })();
    const read = (async () => {
      for await (const _ of client.inferEach("echo", broken));
    })();
    await expect(read).rejects.toThrow("from the source");
  });
});
