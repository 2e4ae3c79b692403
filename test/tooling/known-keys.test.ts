/** A word that no options have is an error that names it: plain JavaScript has no compiler to say so. */
import { fastify } from "fastify";
import {
  BatchableService,
  BytesHandler,
  ImageHandler,
  InferenceService,
  JsonHandler,
  MessagePackHandler,
  MultipartHandler,
  Service,
  ServiceLoader,
  TextHandler,
  arrayBatcher,
  defineBatchable,
  defineInference,
  definePipeline,
  defineService,
  namedArraysBatcher,
} from "servable";
import { OpenInferenceClient, createClient } from "servable/client";
import { GrpcInferenceClient, GrpcRuntime, ModelGrpcServer } from "servable/grpc";
import {
  HttpRuntime,
  MetricsServer,
  ModelHttpServer,
  createLogger,
  createModelMetrics,
  fetchHandler,
  requestTraces,
  servicesPlugin,
} from "servable/http";
import { OfflineRuntime } from "servable/offline";
import { loadOnnxModel } from "servable/onnx";
import { ModelRepositoryServer, defineModel } from "servable/server";
import { createTestRuntime, handlerContract, modelContract, runtimeContract } from "servable/testing";
import {
  SpecsTritonModel,
  TritonModel,
  TritonModelConfig,
  TritonModelServer,
  completeModelConfig,
  downloadArtifact,
  localTriton,
  makeTritonConfiguration,
  openStorage,
} from "servable/triton";
import { describe, expect, test } from "vitest";
import { keepLog } from "../support/serving.ts";

const call = (value: unknown): unknown => value;
const echo = defineService({ name: "echo", call });
const model = (): never => {
  throw new Error("never loaded");
};
/** What a compiler would not let through. */
const words = (options: unknown): never => options as never;

class Odd extends Service {
  static readonly definition = words({ name: "odd", polisy: {} });
  override call(): number {
    return 1;
  }
}

const cases: readonly (readonly [what: string, make: () => unknown, message: string])[] = [
  ["a service", () => defineService(words({ name: "a", call, ouput: 1 })), "Service 'a' has no option 'ouput'; did you mean 'output'?"],
  [
    "a limit beside the policy",
    () => defineService(words({ name: "a", call, deadlineMs: 5 })),
    "Service 'a' has no option 'deadlineMs'; did you mean 'policy.deadlineMs'?",
  ],
  [
    "a policy",
    () => defineService({ name: "a", call, policy: words({ concurency: 5 }) }),
    "Service 'a': its policy has no option 'concurency'; did you mean 'concurrency'?",
  ],
  [
    "a batch size beside the batching",
    () => defineService({ name: "a", call, policy: words({ maxRows: 5 }) }),
    "Service 'a': its policy has no option 'maxRows'; did you mean 'batching.maxRows'?",
  ],
  [
    "batching",
    () => defineInference(words({ name: "a", model, preprocess: call, postprocess: call, policy: { batching: { maxBatchSize: 5 } } })),
    "Service 'a': its policy.batching has no option 'maxBatchSize'. There is: maxRows, maxDelayMs, waitAlone, preferredRows.",
  ],
  [
    "stages",
    () => defineInference(words({ name: "a", model, preprocess: call, postprocess: call, policy: { stages: { worker: 2 } } })),
    "Service 'a': its policy.stages has no option 'worker'; did you mean 'workers'?",
  ],
  [
    "an inference service",
    () => defineInference(words({ name: "a", model, preproces: call, postprocess: call })),
    "Service 'a' has no option 'preproces'; did you mean 'preprocess'?",
  ],
  [
    "a batchable service",
    () => defineBatchable(words({ name: "a", model, batch: call, unbatch: call, row: call })),
    "Service 'a' has no option 'row'; did you mean 'rows'?",
  ],
  ["a pipeline", () => definePipeline(words({ name: "a", step: [echo] })), "Service 'a' has no option 'step'; did you mean 'steps'?"],
  ["HttpRuntime", () => new HttpRuntime(words({ services: [echo], prot: 1 })), "HttpRuntime has no option 'prot'; did you mean 'port'?"],
  [
    "GrpcRuntime",
    () => new GrpcRuntime(words({ services: [echo], maxMessageByte: 1 })),
    "GrpcRuntime has no option 'maxMessageByte'; did you mean 'maxMessageBytes'?",
  ],
  [
    "OfflineRuntime",
    () => new OfflineRuntime(words({ service: echo, input: "a", ouput: "b" })),
    "OfflineRuntime has no option 'ouput'; did you mean 'output'?",
  ],
  [
    "fetchHandler",
    () => fetchHandler(echo, words({ base: "/x" })),
    "fetchHandler has no option 'base'. There is: basePath, log, observers.",
  ],
  [
    "what stands beneath HttpRuntime's",
    () => new HttpRuntime({ services: [echo], tls: words({ cert: "a", keyFile: "b" }) }),
    "HttpRuntime: its tls has no option 'cert'. There is: certFile, keyFile.",
  ],
  [
    "HttpRuntime with nothing",
    () => Reflect.construct(HttpRuntime, []) as unknown,
    "HttpRuntime takes an object with options, not undefined. There is: services, host, port, auth, allowUnauthenticated, tls, corsOrigins, page, graceMs, log, observers, configure.",
  ],
  [
    "HttpRuntime with a list",
    () => new HttpRuntime(words([echo])),
    "HttpRuntime takes an object with options, not a list. There is: services, host, port, auth, allowUnauthenticated, tls, corsOrigins, page, graceMs, log, observers, configure.",
  ],
  [
    "what stands beneath GrpcRuntime's",
    () => new GrpcRuntime({ services: [echo], auth: words("tokens.txt") }),
    "GrpcRuntime: its auth must be an object, not a string. There is: tokenFile.",
  ],
  [
    "a list beneath GrpcRuntime's",
    () => new GrpcRuntime({ services: [echo], protos: [words({ file: "a.proto", method: {} })] }),
    "GrpcRuntime: its protos[0] has no option 'method'; did you mean 'methods'?",
  ],
  [
    "no list beneath GrpcRuntime's",
    () => new GrpcRuntime({ services: [echo], protos: words({ file: "a.proto", methods: {} }) }),
    "GrpcRuntime: its protos must be a list, not an object.",
  ],
  [
    "createClient",
    () => createClient("http://127.0.0.1:1", words({ timeout: 1 })),
    "createClient has no option 'timeout'; did you mean 'timeoutMs'?",
  ],
];

const plane = new ModelRepositoryServer({ repositories: ["."], log: keepLog() });
const log = keepLog();
const here = "http://127.0.0.1:1";
const x = { name: "x", dataType: "FP32", shape: [1] } as const;
const config = new TritonModelConfig({ name: "m", backend: "onnxruntime" });

const empty = { bytes: 0, read: model };

/** Those that are given no more than one word that there is not. */
type Other = readonly [what: string, make: (options: never) => unknown, rest: object, known: string];
const others: readonly Other[] = [
  ["JsonHandler", (options) => new JsonHandler(options), {}, "maxDepth"],
  ["MessagePackHandler", (options) => new MessagePackHandler(options), {}, "maxDepth"],
  ["TextHandler", (options) => new TextHandler(options), {}, "mediaTypes"],
  ["BytesHandler", (options) => new BytesHandler(options), {}, "mediaTypes"],
  ["MultipartHandler", (options) => new MultipartHandler(options), {}, "maxParts"],
  ["ImageHandler", (options) => new ImageHandler(options), {}, "field"],
  ["InferenceService", (options) => new InferenceService({ preprocess: model, postprocess: call }, model, options), {}, "batcher"],
  ["BatchableService", (options) => new BatchableService({ batch: model, unbatch: model }, model, options), {}, "priority"],
  ["namedArraysBatcher", namedArraysBatcher, {}, "padding"],
  ["arrayBatcher", arrayBatcher, {}, "padding"],
  ["A LoaderSpec", (options) => new ServiceLoader(options), { module: "./a.ts" }, "export"],
  ["servicesPlugin", (options) => fastify().register(servicesPlugin, options), { services: [echo], prefix: "/a" }, "health"],
  ["createLogger", createLogger, {}, "level"],
  ["requestTraces", requestTraces, {}, "tracer"],
  ["createModelMetrics", (options) => createModelMetrics(plane, options), {}, "cpu"],
  ["MetricsServer", (options) => new MetricsServer(options), { log }, "registry"],
  ["ModelHttpServer", (options) => new ModelHttpServer(options), { plane, log }, "maxInputBytes"],
  ["ModelGrpcServer", (options) => new ModelGrpcServer(options), { plane, log }, "restricted"],
  ["ModelRepositoryServer", (options) => new ModelRepositoryServer(options), { repositories: ["."], log }, "control"],
  ["A model", defineModel, { run: () => ({}) }, "setup"],
  ["TritonModelServer", (options) => new TritonModelServer(options), { artifact: "." }, "binary"],
  ["OpenInferenceClient", (options) => new OpenInferenceClient(here, options), {}, "requestCompression"],
  ["GrpcInferenceClient", (options) => new GrpcInferenceClient("grpc://127.0.0.1:1", options), {}, "compression"],
  ["TritonModel", (options) => new TritonModel(here, options), { name: "m", inputs: [x], outputs: [x] }, "optional"],
  ["TritonModel.connect", (options) => TritonModel.connect(here, "m", options), {}, "version"],
  ["SpecsTritonModel", (options) => new SpecsTritonModel(here, config, options), {}, "version"],
  ["SpecsTritonModel.connect", (options) => SpecsTritonModel.connect(here, "m", options), {}, "version"],
  ["localTriton", localTriton, {}, "protocol"],
  ["openStorage", (options) => openStorage(".", options), {}, "s3"],
  ["downloadArtifact", (options) => downloadArtifact("./a.tar", options), { folder: "." }, "sha256"],
  ["makeTritonConfiguration", makeTritonConfiguration, { repository: ".", storage: "." }, "storageOptions"],
  ["completeModelConfig", (options) => completeModelConfig({}, { inputs: [], outputs: [] }, options), { name: "m" }, "autoComplete"],
  ["TestRuntime", (options) => createTestRuntime(echo, options), {}, "policy"],
  ["handlerContract", handlerContract, {}, "roundTrip"],
  ["modelContract", modelContract, { create: model, example: {} }, "tolerance"],
  ["runtimeContract", runtimeContract, { start: model }, "skip"],
  ["A call of echo", (options) => createClient<typeof echo>(here).echo(1, options), {}, "requestId"],
  ["A call of echo", (options) => createClient<typeof echo>(here).echo.batch([1], options), {}, "requestId"],
  ["An inference", (options) => new OpenInferenceClient(here).infer("m", {}, options), {}, "sequence"],
  ["An inference", (options) => new GrpcInferenceClient("grpc://127.0.0.1:1").infer("m", {}, options), {}, "sequence"],
  ["A load", (options) => new OpenInferenceClient(here).load("m", options), {}, "config"],
  ["A load", (options) => new GrpcInferenceClient("grpc://127.0.0.1:1").load("m", options), {}, "config"],
  ...[new OpenInferenceClient(here), new GrpcInferenceClient("grpc://127.0.0.1:1")].flatMap((client): Other[] => [
    ["A call of live", (options) => client.live(options), {}, "timeoutMs"],
    ["A call of ready", (options) => client.ready(options), {}, "timeoutMs"],
    ["A call of modelReady", (options) => client.modelReady("m", options), {}, "version"],
    ["A call of serverMetadata", (options) => client.serverMetadata(options), {}, "timeoutMs"],
    ["A call of modelMetadata", (options) => client.modelMetadata("m", options), {}, "version"],
    ["A call of modelConfig", (options) => client.modelConfig("m", options), {}, "version"],
    ["A call of statistics", (options) => client.statistics("m", options), {}, "version"],
    ["A call of index", (options) => client.index(options), {}, "ready"],
    ["An unload", (options) => client.unload("m", options), {}, "unloadDependents"],
  ]),
  ["A call of generate", (options) => new OpenInferenceClient(here).generate("m", {}, options), {}, "version"],
  ["A call of generateStream", (options) => new OpenInferenceClient(here).generateStream("m", {}, options), {}, "version"],
  ["A call of inferEach", (options) => new GrpcInferenceClient("grpc://127.0.0.1:1").inferEach("m", [], options), {}, "version"],
  ...["./a", here, "s3://bucket/b"].flatMap((uri): Other[] => [
    ["A read", (options) => openStorage(uri).read("a", options), {}, "offset"],
    ["A write", (options) => openStorage(uri).write("a", empty, options), {}, "onProgress"],
  ]),
];

/** Whose are objects, and lists of them, beneath the options. */
const nested: readonly (readonly [message: string, make: (options: never) => unknown, options: object])[] = [
  [
    "ModelGrpcServer: its connectionAge has no option 'age'. There is: ageMs, graceMs.",
    (options) => new ModelGrpcServer(options),
    { plane, log, connectionAge: { age: 1 } },
  ],
  [
    "ModelHttpServer: its restricted[0] has no option 'api'; did you mean 'apis'?",
    (options) => new ModelHttpServer(options),
    { plane, log, restricted: [{ api: [], header: "a", value: "b" }] },
  ],
  [
    "ModelRepositoryServer: its rateLimitResources[0] has no option 'counts'; did you mean 'count'?",
    (options) => new ModelRepositoryServer(options),
    { repositories: ["."], log, rateLimitResources: [{ name: "a", counts: 1 }] },
  ],
  [
    "TritonModelServer has no option 'http'; did you mean 'ports.http'?",
    (options) => new TritonModelServer(options),
    { artifact: ".", http: 0 },
  ],
  [
    "TritonModelServer: its download.storage.s3 has no option 'endpoints'; did you mean 'endpoint'?",
    (options) => new TritonModelServer(options),
    { artifact: ".", download: { storage: { s3: { endpoints: "a" } } } },
  ],
  [
    "This is no model: its inputs.x has no option 'optinal'; did you mean 'optional'?",
    defineModel,
    { run: model, inputs: { x: { dataType: "FP32", dims: [1], optinal: true } } },
  ],
  [
    "The model 'a': its executionProviders[1] has no option 'device'; did you mean 'deviceId'?",
    (options) => loadOnnxModel("./a.onnx", options),
    { executionProviders: ["cpu", { name: "cuda", device: 1 }] },
  ],
  [
    "An inference: its sequence has no option 'begin'. There is: id, start, end.",
    (options) => new OpenInferenceClient(here).infer("m", {}, options),
    { sequence: { id: 1, begin: true } },
  ],
  [
    "runtimeContract: its skip has no option 'answers a reqest'; did you mean 'answers a request'?",
    runtimeContract,
    { start: model, skip: { "answers a reqest": "why not" } },
  ],
  [
    "maxBatchSiz: ModelConfig has no such field; it has: name, platform, ",
    (options) => new TritonModelConfig(options),
    { name: "m", backend: "onnxruntime", maxBatchSiz: 1 },
  ],
  [
    "HttpRuntime: its auth must have a tokenFile or a plugin.",
    (options) => new HttpRuntime(options),
    { services: [echo], host: "0.0.0.0", auth: {} },
  ],
  [
    "A service with a policy of its own has no option 'polcy'; did you mean 'policy'?",
    (options) => new HttpRuntime({ services: [options] }).start(),
    { service: echo, polcy: {} },
  ],
];

describe("an unknown word is refused and named:", () => {
  test.each(cases)("%s", (_what, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: "invalid_config", message }));
  });

  test.each(others)("%s", async (what, make, rest, known) => {
    const made = Promise.resolve().then(() => make(words({ ...rest, nonsenseWord: 1 })));
    await expect(made).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(new RegExp(`^${what} has no option 'nonsenseWord'\\. There is: .*\\b${known}\\b`)) as unknown,
    });
  });

  test.each(nested)("%s", async (message, make, options) => {
    const made = Promise.resolve().then(() => make(words(options)));
    await expect(made).rejects.toMatchObject({ code: "invalid_config", message: expect.stringContaining(message) as unknown });
  });

  test("a model's options", async () => {
    await expect(loadOnnxModel("./a.onnx", words({ intraOpThread: 1 }))).rejects.toMatchObject({
      code: "invalid_config",
      message: "The model 'a' has no option 'intraOpThread'; did you mean 'intraOpThreads'?",
    });
  });

  test.each([
    ["a class of services", Odd, "Service 'odd' has no option 'polisy'; did you mean 'policy'?"],
    [
      "a policy over a service's own",
      { service: echo, policy: words({ queu: 1 }) },
      "Service 'echo': its policy has no option 'queu'; did you mean 'queue'?",
    ],
  ])("%s", async (_what, source, message) => {
    const started = new HttpRuntime({ services: [source], port: 0, log: keepLog() }).start();
    await expect(started).rejects.toMatchObject({ code: "invalid_config", message });
  });
});

test("what is left undefined is no word", () => {
  expect(defineService(words({ name: "a", call, nothing: undefined })).name).toBe("a");
});

describe("a media type that no header can carry is refused", () => {
  test.each([[["text/x\r\ny: z"]], [["text/ä"]], [["text"]], [["/x"]], [[1]], [[]], ["text/csv"]])("%j", (mediaTypes) => {
    const response = words({ mediaTypes, serialize: String });
    expect(() => defineService({ name: "a", response, call })).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });

  test("others, with parameters and patterns, are not", () => {
    const request = { mediaTypes: ["image/*", "text/csv; charset=utf-8", "application/vnd.x+json"], deserialize: () => 1 };
    expect(defineService({ name: "a", request, call }).request).toEqual([request]);
  });
});
