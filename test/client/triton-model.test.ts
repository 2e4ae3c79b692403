import { createServer } from "node:http";
import { once } from "node:events";
import { defineInference } from "servable";
import { OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";
import { HttpRuntime } from "servable/http";
import { modelContract } from "servable/testing";
import { localTriton, SpecsTritonModel, Tensor, TritonModel } from "servable/triton";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepare, type Prepared } from "../runtime/triton/support.ts";
import { addSub, addSubAnswer, addSubConfig, addSubExample as example, addSubModels, askForSums, sums } from "../support/add-sub.ts";
import { keepLog } from "../support/serving.ts";

const files = { "add_sub/config.pbtxt": addSubConfig.asPbtext(), "add_sub/1/model.onnx": addSub };

let prepared: Prepared;
beforeAll(async () => {
  prepared = await prepare(files);
  await prepared.server.start();
}, 60_000);
afterAll(() => prepared[Symbol.asyncDispose]());

const addresses = { HTTP: () => prepared.server.url, gRPC: () => prepared.server.grpcUrl };

describe.each(["HTTP", "gRPC"] as const)("over %s", (wire) => {
  const url = (): string => addresses[wire]();

  for (const [name, create] of Object.entries(addSubModels(url))) {
    describe(name, () => {
      for (const { name: title, run, skip } of modelContract({ create, example, batches: true }))
        test.skipIf(skip !== undefined)(title, run);
    });
  }

  test("runs, and tells shapes", async () => {
    const model = await SpecsTritonModel.connect(url(), "add_sub");
    const outputs = await model.run(example);
    expect(Object.fromEntries(Object.entries(outputs).map(([name, array]) => [name, array.toNested()]))).toEqual(addSubAnswer);
    expect(model.inputShapes).toEqual({ a: [-1, 2], b: [-1, 2] });
    expect(model.outputShapes).toEqual({ sum: [-1, 2], difference: [-1, 2] });
    expect(model.maxBatchSize).toBe(8);
    await model.close();
  });

  test("a model that does not exist, a batch that is too large: the server's own words", async () => {
    await expect(TritonModel.connect(url(), "nobody")).rejects.toMatchObject({ code: "not_found" });
    await expect(SpecsTritonModel.connect(url(), "nobody")).rejects.toMatchObject({ code: "not_found" });
    const model = await TritonModel.connect(url(), "add_sub");
    const rows = Array.from({ length: 9 }, () => [1, 2]);
    const large = { a: Tensor.from("FP32", rows), b: Tensor.from("FP32", rows) };
    await expect(model.run(large)).rejects.toThrow(/batch-size must be <= 8/);
    await model.close();
  });

  test("time that is over, and nobody there", async () => {
    const model = await TritonModel.connect(url(), "add_sub");
    const late = { signal: new AbortController().signal, deadline: Date.now() - 1 };
    await expect(model.run(example, { context: late })).rejects.toMatchObject({ code: "deadline_exceeded" });
    await model.close();
    const address = wire === "HTTP" ? "http://127.0.0.1:1" : "grpc://127.0.0.1:1";
    await expect(TritonModel.connect(address, "add_sub", { timeoutMs: 2_000 })).rejects.toMatchObject({
      code: /unavailable|deadline_exceeded/,
    });
  });
});

test("a client that somebody else opened stays open", async () => {
  const client = new GrpcInferenceClient(prepared.server.grpcUrl);
  const model = await TritonModel.connect(client, "add_sub");
  await model.close();
  expect(await client.ready()).toBe(true);
  client.close();
});

test("an address that is none", () => {
  expect(() => new SpecsTritonModel("127.0.0.1:8000", addSubConfig)).toThrow(/write it like http:\/\/127\.0\.0\.1:8000/);
});

test("an input that may be left out", async () => {
  const optional = { name: "m", input: [{ name: "x", dataType: "TYPE_FP32", dims: [1], optional: true }], output: [] } as const;
  const model = new SpecsTritonModel(prepared.server.url, optional);
  // The server does not know the model, so that the check was passed.
  await expect(model.run({})).rejects.toMatchObject({ code: "not_found" });
  await expect(model.run({ y: Tensor.from("FP32", [1]) })).rejects.toMatchObject({ code: "invalid_argument" });
  await expect(model.run({ x: Tensor.from("FP64", [1]) })).rejects.toMatchObject({ code: "invalid_argument" });
});

describe("in an InferenceService", () => {
  const inline = () =>
    defineInference({
      name: "sums",
      model: () => SpecsTritonModel.connect(prepared.server.url, "add_sub"),
      preprocess: ([a, b]: readonly [readonly number[], readonly number[]]) => ({
        a: Tensor.from("FP32", [a]),
        b: Tensor.from("FP32", [b]),
      }),
      postprocess: ({ sum }) => sum?.toNested(),
      policy: { placement: "inline" },
    });
  const module = new URL("../fixtures/triton-services.ts", import.meta.url).href;
  const onThread = (url: () => string) => () => ({ module, export: "sums", arguments: [url()] });

  test.each([
    ["on the thread that does I/O", inline],
    ["on a thread of its own, in batches, over HTTP", onThread(addresses.HTTP)],
    ["on a thread of its own, in batches, over gRPC", onThread(addresses.gRPC)],
  ])("%s", async (_, service) => {
    const runtime = new HttpRuntime({ services: [service()], port: 0, log: keepLog() });
    await runtime.start();
    try {
      expect(await askForSums(runtime.url)).toEqual(sums);
    } finally {
      await runtime.stop();
    }
  });
});

describe("localTriton", () => {
  test("takes the address from the environment, of the protocol that is asked for", async () => {
    const environment = { SERVABLE_TRITON_HTTP: prepared.server.url, SERVABLE_TRITON_GRPC: prepared.server.grpcUrl };
    const http = await localTriton({ environment });
    expect(http.url).toBe(prepared.server.url);
    expect(http.client).toBeInstanceOf(OpenInferenceClient);
    const grpc = await localTriton({ environment, protocol: "grpc" });
    expect(grpc.client).toBeInstanceOf(GrpcInferenceClient);
    expect((await (await TritonModel.connect(grpc.client, "add_sub")).run(example)).sum?.toNested()).toEqual(addSubAnswer.sum);
    grpc.close();
    http.close();
  });

  test("goes on to the next one", async () => {
    const environment = { SERVABLE_TRITON_HTTP: "http://127.0.0.1:1", SERVABLE_TRITON_GRPC: prepared.server.grpcUrl };
    const found = await localTriton({ environment, timeoutMs: 10_000 });
    expect(found.url).toBe(prepared.server.grpcUrl);
    found.close();
  });

  test("waits until it is there", async () => {
    const http = await freePort();
    await using late = await prepare(files, { ports: { http, grpc: 0, metrics: 0 } });
    const starting = late.server.start();
    const found = await localTriton({ environment: { SERVABLE_TRITON_HTTP: `http://127.0.0.1:${http}` }, timeoutMs: 30_000 });
    await starting;
    expect(await found.client.modelReady("add_sub")).toBe(true);
  });

  test("says what it tried", async () => {
    const other = createServer((_request, response) => response.writeHead(404).end("no"));
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const environment = { SERVABLE_TRITON_HTTP: `http://127.0.0.1:${port}`, SERVABLE_TRITON_GRPC: "grpc://127.0.0.1:1" };
    const failure = await localTriton({ environment, timeoutMs: 700 }).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ code: "unavailable" });
    const { message } = failure as Error;
    expect(message).toMatch(/No Triton is ready beside this service after 700 ms/);
    expect(message).toContain(`http://127.0.0.1:${port} (from SERVABLE_TRITON_HTTP) is no such server`);
    expect(message).toContain("grpc://127.0.0.1:1 (from SERVABLE_TRITON_GRPC) does not answer");
    other.close();
  });

  test("looks at the usual ports where nothing is said, and stops when it is told", async () => {
    const failure = await localTriton({ environment: {}, timeoutMs: 200 }).catch((thrown: unknown) => thrown);
    expect(String(failure)).toContain("http://127.0.0.1:8000 (the usual address)");
    expect(String(failure)).toContain("grpc://127.0.0.1:8001 (the usual address)");
    const signal = AbortSignal.timeout(100);
    await expect(localTriton({ environment: { SERVABLE_TRITON_HTTP: "http://127.0.0.1:1" }, signal })).rejects.toMatchObject({
      code: "cancelled",
    });
    await expect(localTriton({ environment: { SERVABLE_TRITON_HTTP: "127.0.0.1:1" } })).rejects.toMatchObject({ code: "invalid_config" });
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
