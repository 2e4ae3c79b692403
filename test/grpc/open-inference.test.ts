/** The Open Inference Protocol over gRPC, as any client meets it: bare calls against a real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ModelGrpcServer } from "../../src/runtime/grpc/model-grpc-server.ts";
import { keepLog, until } from "../support/serving.ts";
import { addPlane, type AddPlane } from "./add-plane.ts";
import { Caller, floats, grpc, messages } from "./calling.ts";

const { inference: types } = messages;
const service = "/inference.GRPCInferenceService";

let plane: AddPlane;
let server: ModelGrpcServer;
let caller: Caller;

beforeAll(async () => {
  plane = addPlane();
  server = new ModelGrpcServer({ plane, log: keepLog(), port: 0 });
  await server.start();
  caller = new Caller(server.url);
});
afterAll(async () => {
  caller[Symbol.dispose]();
  await server.stop(100);
});
beforeEach(() => {
  plane.requests.length = plane.seen.length = plane.loaded.length = 0;
});

const input = (name: string, datatype: string, shape: number[]): messages.inference.ModelInferRequest.InferInputTensor.$Properties => ({
  name,
  datatype,
  shape,
});

describe("what the server says of itself", () => {
  test("live, ready, metadata", async () => {
    expect((await caller.unary(`${service}/ServerLive`, types.ServerLiveRequest, types.ServerLiveResponse, {})).message?.live).toBe(true);
    expect((await caller.unary(`${service}/ServerReady`, types.ServerReadyRequest, types.ServerReadyResponse, {})).message?.ready).toBe(
      true,
    );
    plane.isReady = false;
    expect((await caller.unary(`${service}/ServerReady`, types.ServerReadyRequest, types.ServerReadyResponse, {})).message?.ready).toBe(
      false,
    );
    plane.isReady = true;
    const { message } = await caller.unary(`${service}/ServerMetadata`, types.ServerMetadataRequest, types.ServerMetadataResponse, {});
    expect(message).toMatchObject({ name: "servable", version: "1.2.3", extensions: ["statistics", "binary_tensor_data"] });
  });

  test("a model that is ready, one that is unknown, and one of a version that is no number", async () => {
    const ready = (name: string, version = "") =>
      caller.unary(`${service}/ModelReady`, types.ModelReadyRequest, types.ModelReadyResponse, { name, version });
    expect((await ready("add")).message?.ready).toBe(true);
    expect(await ready("nobody")).toMatchObject({
      code: grpc.status.NOT_FOUND,
      details: "Request for unknown model: 'nobody' is not found",
    });
    expect(await ready("add", "abc")).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: "failed to get model version from specified version string 'abc' (details: stol), version should be an integral value > 0",
    });
  });

  test("a model's metadata, with dimensions of 64 bits", async () => {
    const { message } = await caller.unary(`${service}/ModelMetadata`, types.ModelMetadataRequest, types.ModelMetadataResponse, {
      name: "add",
    });
    expect(message).toMatchObject({ name: "add", versions: ["1"], platform: "typescript" });
    expect(message?.inputs[0]?.shape?.map(String)).toEqual(["-1", "9007199254740991"]);
  });

  test("a model's configuration, field by field", async () => {
    const { message } = await caller.unary(`${service}/ModelConfig`, types.ModelConfigRequest, types.ModelConfigResponse, {
      name: "repeat",
    });
    const config = types.ModelConfig.toObject(types.ModelConfig.fromObject(message?.config ?? {}), { enums: String, longs: String });
    expect(config).toEqual({
      name: "repeat",
      backend: "typescript",
      maxBatchSize: 8,
      versionPolicy: { latest: { numVersions: 1 } },
      input: [{ name: "A", dataType: "TYPE_FP32", dims: ["-1"], reshape: { shape: ["1", "-1"] } }],
      output: [{ name: "SUM", dataType: "TYPE_BF16", dims: ["2", "-1"], labelFilename: "labels.txt" }],
      instanceGroup: [{ name: "repeat", kind: "KIND_CPU", count: 2 }],
      dynamicBatching: {
        preferredBatchSize: [4, 8],
        maxQueueDelayMicroseconds: "18446744073709551615",
        priorityLevels: "2",
        defaultPriorityLevel: "1",
        priorityQueuePolicy: { "1": { timeoutAction: "DELAY", maxQueueSize: 3 }, "2": { defaultTimeoutMicroseconds: "9007199254740993" } },
      },
      parameters: { threads: { stringValue: "2" } },
      modelWarmup: [{ name: "w", batchSize: 1, inputs: { A: { dataType: "TYPE_FP32", dims: ["2"], zeroData: true } } }],
      modelTransactionPolicy: { decoupled: true },
    });
  });

  test("statistics, with all eight durations", async () => {
    const { message } = await caller.unary(`${service}/ModelStatistics`, types.ModelStatisticsRequest, types.ModelStatisticsResponse, {});
    expect(message?.modelStats.map(({ name }) => name)).toEqual(["add", "echo"]);
    const stats = types.ModelStatisticsResponse.toObject(message!, { longs: Number, defaults: true }).modelStats[0];
    expect(Object.keys(stats.inferenceStats)).toHaveLength(8);
    expect(stats).toMatchObject({ inferenceCount: 12, executionCount: 3, lastInference: 1_760_000_000_000 });
    expect(stats.inferenceStats.computeInfer).toEqual({ count: 3, ns: 2 ** 40 });
    expect(stats.responseStats["0"].success).toEqual({ count: 3, ns: 2 ** 40 });
  });

  test("the repository: index, load with overrides, unload", async () => {
    const index = (request: messages.inference.RepositoryIndexRequest.$Properties) =>
      caller.unary(`${service}/RepositoryIndex`, types.RepositoryIndexRequest, types.RepositoryIndexResponse, request);
    expect((await index({})).message?.models).toMatchObject([{ name: "add", version: "1", state: "READY" }, { name: "never" }]);
    expect((await index({ ready: true })).message?.models).toHaveLength(1);
    expect(await index({ repositoryName: "x" })).toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
      details: "'repository_name' specification is not supported",
    });
    const load = (request: messages.inference.RepositoryModelLoadRequest.$Properties) =>
      caller.unary(`${service}/RepositoryModelLoad`, types.RepositoryModelLoadRequest, types.RepositoryModelLoadResponse, request);
    expect(
      (
        await load({
          modelName: "m",
          parameters: { config: { stringParam: "{}" }, "file:1/model.onnx": { bytesParam: Buffer.from([1, 2]) } },
        })
      ).code,
    ).toBe(0);
    expect(plane.loaded[0]?.name).toBe("m");
    expect(plane.loaded[0]?.overrides.config).toBe("{}");
    expect([...plane.loaded[0]!.overrides.files!.entries()].map(([name, bytes]) => [name, [...bytes]])).toEqual([["1/model.onnx", [1, 2]]]);
    expect((await load({ modelName: "m", parameters: { config: { boolParam: true } } })).code).toBe(grpc.status.INVALID_ARGUMENT);
    expect((await load({ modelName: "m", parameters: { what: { boolParam: true } } })).code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(await load({ modelName: "broken" })).toMatchObject({
      code: grpc.status.INTERNAL,
      details: "failed to load 'broken', failed to poll from model repository",
    });
    const unload = await caller.unary(
      `${service}/RepositoryModelUnload`,
      types.RepositoryModelUnloadRequest,
      types.RepositoryModelUnloadResponse,
      {
        modelName: "m",
        parameters: { unload_dependents: { boolParam: true } },
      },
    );
    expect(unload.code).toBe(0);
    expect(plane.loaded.at(-1)?.name).toBe("unload m true");
  });

  test("shared memory is off, in all six", async () => {
    for (const kind of ["System", "Cuda"]) {
      for (const verb of ["Status", "Register", "Unregister"]) {
        expect(await caller.raw(`${service}/${kind}SharedMemory${verb}`, Buffer.alloc(0))).toMatchObject({
          code: grpc.status.UNIMPLEMENTED,
          details: "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        });
      }
    }
  });

  test("trace and log settings are read and set", async () => {
    const trace = (request: messages.inference.TraceSettingRequest.$Properties) =>
      caller.unary(`${service}/TraceSetting`, types.TraceSettingRequest, types.TraceSettingResponse, request);
    expect((await trace({})).message?.settings).toMatchObject({ trace_level: { value: ["OFF"] }, trace_rate: { value: ["1000"] } });
    const set = await trace({ settings: { trace_level: { value: ["TIMESTAMPS", "TENSORS"] }, trace_rate: {} } });
    expect(set.message?.settings).toMatchObject({ trace_level: { value: ["TIMESTAMPS", "TENSORS"] }, trace_rate: { value: ["put back"] } });
    const log = (request: messages.inference.LogSettingsRequest.$Properties) =>
      caller.unary(`${service}/LogSettings`, types.LogSettingsRequest, types.LogSettingsResponse, request);
    const { message } = await log({ settings: { log_verbose_level: { uint32Param: 3 }, log_info: { boolParam: false } } });
    expect(message?.settings).toMatchObject({
      log_verbose_level: { uint32Param: 3 },
      log_info: { boolParam: false },
      log_file: { stringParam: "" },
    });
  });

  test("a method that does not exist", async () => {
    expect((await caller.raw(`${service}/Nothing`, Buffer.alloc(0))).code).toBe(grpc.status.UNIMPLEMENTED);
  });

  test("the standard health service", async () => {
    const check = async (): Promise<unknown> => {
      const { HealthCheckRequest, HealthCheckResponse } = messages.grpc.health.v1;
      return (await caller.unary("/grpc.health.v1.Health/Check", HealthCheckRequest, HealthCheckResponse, { service: "whatever" })).message
        ?.status;
    };
    expect(await check()).toBe(1);
    plane.isReady = false;
    expect(await check()).toBe(2);
    plane.isReady = true;
  });
});

describe("ModelInfer", () => {
  test("adds two tensors of raw contents; surplus ones are ignored", async () => {
    const { message, code } = await caller.infer({
      modelName: "add",
      id: "7",
      inputs: [input("A", "FP32", [2]), input("B", "FP32", [2])],
      rawInputContents: [floats(1, 2), floats(10, 20), floats(99)],
    });
    expect(code).toBe(0);
    expect(message).toMatchObject({ modelName: "add", modelVersion: "1", id: "7" });
    expect(message?.outputs).toMatchObject([{ name: "SUM", datatype: "FP32" }]);
    expect(message?.outputs[0]?.contents ?? undefined).toBeUndefined();
    expect([...new Float32Array(Uint8Array.from(message!.rawOutputContents[0]!).buffer)]).toEqual([11, 22]);
  });

  const typed: [string, messages.inference.InferTensorContents.$Properties, ArrayBufferView | Uint8Array][] = [
    ["BOOL", { boolContents: [true, false] }, Uint8Array.of(1, 0)],
    ["INT8", { intContents: [-1, 127] }, Int8Array.of(-1, 127)],
    ["INT16", { intContents: [-1, 300] }, Int16Array.of(-1, 300)],
    ["INT32", { intContents: [-1, 2 ** 31 - 1] }, Int32Array.of(-1, 2 ** 31 - 1)],
    ["INT64", { int64Contents: [-1, { low: 1, high: 1 << 21, unsigned: false }] }, BigInt64Array.of(-1n, 2n ** 53n + 1n)],
    ["UINT8", { uintContents: [255, 1] }, Uint8Array.of(255, 1)],
    ["UINT16", { uintContents: [65_535, 1] }, Uint16Array.of(65_535, 1)],
    ["UINT32", { uintContents: [2 ** 32 - 1, 1] }, Uint32Array.of(2 ** 32 - 1, 1)],
    ["UINT64", { uint64Contents: [{ low: -1, high: -1, unsigned: true }, 1] }, BigUint64Array.of(2n ** 64n - 1n, 1n)],
    ["FP32", { fp32Contents: [0.5, -2] }, Float32Array.of(0.5, -2)],
    ["FP64", { fp64Contents: [0.1, NaN] }, Float64Array.of(0.1, NaN)],
    ["BYTES", { bytesContents: [Buffer.from("é"), Buffer.from([255, 0])] }, Buffer.from("02000000c3a902000000ff00", "hex")],
  ];

  test.each(typed)("typed contents of %s come back raw, bit by bit", async (datatype, contents, expected) => {
    const { message, details } = await caller.infer({ modelName: "echo", inputs: [{ ...input("X", datatype, [2]), contents }] });
    expect(details).toBe("OK");
    expect(message?.outputs[0]?.datatype).toBe(datatype);
    expect(Buffer.from(message!.rawOutputContents[0]!).toString("hex")).toBe(
      Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength).toString("hex"),
    );
  });

  test.each(["FP16", "BF16"])("%s comes raw only", async (datatype) => {
    const good = await caller.infer({
      modelName: "echo",
      inputs: [input("X", datatype, [2])],
      rawInputContents: [Buffer.from([1, 2, 3, 4])],
    });
    expect(Buffer.from(good.message!.rawOutputContents[0]!)).toEqual(Buffer.from([1, 2, 3, 4]));
    const bad = await caller.infer({ modelName: "echo", inputs: [{ ...input("X", datatype, [2]), contents: { fp32Contents: [1, 2] } }] });
    expect(bad).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: `unexpected explicit tensor data for input tensor 'X' for model 'echo' of type 'FP32', expected datatype '${datatype}'`,
    });
  });

  const refused: [string, messages.inference.ModelInferRequest.$Properties, number, string | RegExp][] = [
    ["an unknown model", { modelName: "x" }, 5, "Request for unknown model: 'x' is not found"],
    ["an unknown version", { modelName: "add", modelVersion: "7" }, 5, "Request for unknown model: 'add' version 7 is not found"],
    [
      "both kinds of contents",
      { modelName: "echo", inputs: [{ ...input("X", "FP32", [1]), contents: { fp32Contents: [1] } }], rawInputContents: [floats(1)] },
      3,
      "contents field must not be specified when using raw_input_contents for 'X' for model 'echo'",
    ],
    [
      "too few raw contents",
      { modelName: "echo", inputs: [input("X", "FP32", [1]), input("Y", "FP32", [1])], rawInputContents: [floats(1)] },
      3,
      /^unable to find data for input tensor 'Y'/,
    ],
    [
      "two typed fields",
      { modelName: "echo", inputs: [{ ...input("X", "FP32", [1]), contents: { fp32Contents: [1], fp64Contents: [1] } }] },
      3,
      /binary data was already supplied/,
    ],
    ["a wrong size", { modelName: "echo", inputs: [input("X", "FP32", [2])], rawInputContents: [floats(1)] }, 3, /Expected 8, got 4/],
    [
      "a reserved parameter",
      { modelName: "echo", parameters: { triton_x: { boolParam: true } } },
      3,
      "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
    ],
    [
      "a custom parameter of uint64",
      { modelName: "echo", parameters: { mine: { uint64Param: 1 } } },
      3,
      /^invalid value type for 'mine' parameter/,
    ],
    [
      "a time-out that is a text",
      { modelName: "echo", parameters: { timeout: { stringParam: "1" } } },
      3,
      "invalid value type for 'timeout' parameter, expected int64_param.",
    ],
    [
      "a priority that is a text",
      { modelName: "echo", parameters: { priority: { stringParam: "1" } } },
      3,
      "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
    ],
    [
      "shared memory of an input",
      { modelName: "echo", inputs: [{ ...input("X", "FP32", [1]), parameters: { shared_memory_region: { stringParam: "r" } } }] },
      12,
      /^Client shared memory is disabled/,
    ],
    [
      "shared memory of an output",
      { modelName: "echo", outputs: [{ name: "X", parameters: { shared_memory_region: { stringParam: "r" } } }] },
      12,
      /^Client shared memory is disabled/,
    ],
    [
      "a classification that is a text",
      { modelName: "echo", outputs: [{ name: "X", parameters: { classification: { stringParam: "3" } } }] },
      3,
      /classification/,
    ],
    ["a decoupled model", { modelName: "repeat" }, 12, "ModelInfer RPC doesn't support models with decoupled transaction policy"],
  ];

  test.each(refused)("refuses %s", async (_name, request, code, details) => {
    const answer = await caller.infer(request);
    expect(answer.details).toEqual(typeof details === "string" ? details : expect.stringMatching(details));
    expect(answer.code).toBe(code);
    expect(plane.inHand).toBe(0);
  });

  test("parameters of every kind, and what is asked of outputs, reach the model", async () => {
    await caller.infer({
      modelName: "echo",
      parameters: {
        sequence_id: { stringParam: "s" },
        sequence_start: { boolParam: true },
        priority: { uint64Param: { low: -1, high: -1, unsigned: true } },
        timeout: { int64Param: { low: 1, high: 1 << 21, unsigned: false } },
        negative: { int64Param: -1 },
        ratio: { doubleParam: 0.5 },
        triton_enable_empty_final_response: { boolParam: false },
      },
      outputs: [{ name: "X", parameters: { classification: { int64Param: 3 }, other: { stringParam: "o" } } }],
    });
    expect(plane.requests[0]?.parameters).toEqual({
      sequence_id: "s",
      sequence_start: true,
      priority: 2n ** 64n - 1n,
      timeout: 2n ** 53n + 1n,
      negative: -1,
      ratio: 0.5,
    });
    expect(plane.requests[0]?.outputs).toEqual([{ name: "X", classification: 3, parameters: { other: "o" } }]);
  });

  test("raw contents are views on the message, not copies", async () => {
    const size = 1 << 20;
    await caller.infer({
      modelName: "echo",
      inputs: [input("A", "UINT8", [size]), input("B", "UINT8", [size])],
      rawInputContents: [Buffer.alloc(size), Buffer.alloc(size)],
    });
    const [a, b] = plane.requests[0]!.inputs;
    expect(a?.bytes?.buffer).toBe(b?.bytes?.buffer);
    expect(b!.bytes!.byteOffset - a!.bytes!.byteOffset).toBeGreaterThanOrEqual(size);
  });

  test("tensors of 16 MB go there and back", async () => {
    const data = new Float32Array(4 * 1024 * 1024).map((_, i) => i);
    const bytes = new Uint8Array(data.buffer);
    const { message } = await caller.infer({ modelName: "echo", inputs: [input("X", "FP32", [data.length])], rawInputContents: [bytes] });
    expect(Buffer.compare(message!.rawOutputContents[0]!, bytes)).toBe(0);
  });

  test("many at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 64 }, (_, i) =>
        caller.infer({
          modelName: "add",
          id: String(i),
          inputs: [input("A", "FP32", [1]), input("B", "FP32", [1])],
          rawInputContents: [floats(i), floats(i)],
        }),
      ),
    );
    expect(answers.map(({ message }) => Buffer.from(message!.rawOutputContents[0]!).readFloatLE())).toEqual(
      Array.from({ length: 64 }, (_, i) => 2 * i),
    );
  });

  test("a client that leaves cancels what runs for it", async () => {
    const aborter = new AbortController();
    const answer = caller.infer(
      { modelName: "sleep", inputs: [input("MS", "INT32", [1])], rawInputContents: [new Uint8Array(Int32Array.of(20_000).buffer)] },
      { signal: aborter.signal },
    );
    await until(() => plane.seen.includes("admit sleep"));
    aborter.abort();
    expect((await answer).code).toBe(grpc.status.CANCELLED);
    await until(() => plane.inHand === 0);
    expect(plane.seen).toEqual(["admit sleep", "cancel sleep", "end sleep"]);
  });

  test("so does one whose deadline passes", async () => {
    const answer = await caller.infer(
      { modelName: "sleep", inputs: [input("MS", "INT32", [1])], rawInputContents: [new Uint8Array(Int32Array.of(20_000).buffer)] },
      { deadline: Date.now() + 100 },
    );
    expect(answer.code).toBe(grpc.status.DEADLINE_EXCEEDED);
    await until(() => plane.inHand === 0);
  });

  test.each([
    ["gzip", grpc.compressionAlgorithms.gzip],
    ["deflate", grpc.compressionAlgorithms.deflate],
  ])("takes requests in %s", async (_name, algorithm) => {
    using compressing = new Caller(server.url, undefined, { "grpc.default_compression_algorithm": algorithm });
    const { message } = await compressing.infer({
      modelName: "echo",
      inputs: [input("X", "UINT8", [10_000])],
      rawInputContents: [Buffer.alloc(10_000, 3)],
    });
    expect(Buffer.compare(message!.rawOutputContents[0]!, Buffer.alloc(10_000, 3))).toBe(0);
  });
});
