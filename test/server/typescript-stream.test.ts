/** Decoupled models written in TypeScript: any number of responses, over real sockets, from real workers. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient, ModelGrpcServer } from "servable/grpc";
import { ModelHttpServer } from "servable/http";
import { Tensor } from "servable";
import type { InferInput } from "servable/server";
import { Caller, messages } from "../grpc/calling.ts";
import { keepLog } from "../support/serving.ts";
import { failureOf, requestOf, serveRepository, type Served } from "./support.ts";

const { ModelInferRequest, ModelStreamInferResponse } = messages.inference;

/** `of` numbers, in steps of a while; told to a file when it is over. */
const repeat = `
  import { appendFileSync } from "node:fs";
  import { join } from "node:path";
  import { setTimeout as pause } from "node:timers/promises";
  import { ServableError } from "servable";
  import { defineModel } from "servable/server";

  export default defineModel({
    inputs: {
      of: { dataType: "INT32", dims: [1] },
      pauseMs: { dataType: "INT32", dims: [1], optional: true },
      large: { dataType: "INT32", dims: [1], optional: true },
    },
    outputs: { number: { dataType: "INT32", dims: [1] }, padding: { dataType: "UINT8", dims: [-1] } },
    setup: ({ folder }) => (line: string): void => appendFileSync(join(folder, "told.txt"), line + "\\n"),
    async *run({ of, pauseMs, large }, { state: tell, signal, requests: [{ id, parameters }] }) {
      const [count = 0] = of.data;
      let number = 0;
      try {
        for (; number < count; number += 1) {
          if (pauseMs !== undefined) await pause(pauseMs.data[0], undefined, { signal });
          if (number === parameters.throw_at) throw new ServableError("invalid_request", "as asked");
          if (number === parameters.crash_at) process.exit(3);
          const one = { dataType: "INT32", shape: [1], data: Int32Array.of(number) } as const;
          yield large === undefined ? { number: one } : { number: one, padding: { dataType: "UINT8", shape: [large.data[0]!], data: new Uint8Array(large.data[0]!) } };
        }
      } finally {
        tell([id, "ended", number, signal.aborted].join(" "));
      }
    },
  });
`;

let served: Served;
let http: ModelHttpServer;
let grpc: ModelGrpcServer;
let overHttp: OpenInferenceClient;
let overGrpc: GrpcInferenceClient;
beforeAll(async () => {
  served = await serveRepository({
    "repeat/1/model.ts": repeat,
    "one/config.pbtxt": `backend: "typescript" model_transaction_policy { decoupled: true } max_batch_size: 4`,
    "one/1/model.ts": `
      import { defineModel } from "servable/server";
      export default defineModel({
        inputs: { text: { dataType: "BYTES", dims: [1] } },
        outputs: { text: { dataType: "BYTES", dims: [1] } },
        run: ({ text }) => ({ text }),
      });`,
  });
  http = new ModelHttpServer({ plane: served.server, log: keepLog(), port: 0 });
  grpc = new ModelGrpcServer({ plane: served.server, log: keepLog(), port: 0 });
  await Promise.all([http.start(), grpc.start()]);
  overHttp = new OpenInferenceClient(http.url);
  overGrpc = new GrpcInferenceClient(grpc.url);
});
afterAll(async () => {
  overGrpc.close();
  await Promise.all([http.stop(1_000), grpc.stop(1_000)]);
  await served[Symbol.asyncDispose]();
});

const told = async (): Promise<readonly string[]> =>
  (await readFile(join(served.folder, "repeat/1/told.txt"), "utf8").catch(() => "")).trim().split("\n");
const of = (count: number) => new Tensor("INT32", [1], Int32Array.of(count));
const numbers = (count: number): number[] => Array.from({ length: count }, (_, number) => number);

test("its configuration says that it is decoupled", () => {
  const { config } = served.server.model("repeat", "");
  expect([config.backend, config.modelTransactionPolicy, config.dynamicBatching]).toEqual(["typescript", { decoupled: true }, undefined]);
});

describe("over gRPC", () => {
  test("ModelStreamInfer gives each response, by the project's own client", async () => {
    for (const count of [3, 0, 40]) {
      const got: unknown[] = [];
      for await (const { outputs, id } of overGrpc.inferStream("repeat", { of: of(count) }, { id: "c" }))
        got.push([id, outputs.number?.data[0]]);
      expect(got).toEqual(numbers(count).map((number) => ["c", number]));
    }
  });

  test.each([
    [
      true,
      [
        [0, false],
        [1, false],
        [undefined, true],
      ],
    ],
    [
      false,
      [
        [0, undefined],
        [1, undefined],
      ],
    ],
  ])("an empty final response is sent where it is asked for (%s)", async (asks, expected) => {
    using caller = new Caller(grpc.url);
    const call = caller.stream("/inference.GRPCInferenceService/ModelStreamInfer");
    const replies: messages.inference.ModelStreamInferResponse[] = [];
    call.on("data", (bytes: Buffer) => replies.push(ModelStreamInferResponse.decode(bytes)));
    const ended = new Promise((resolve) => call.on("end", resolve));
    const request = {
      modelName: "repeat",
      id: "7",
      parameters: asks ? { triton_enable_empty_final_response: { boolParam: true } } : {},
      inputs: [{ name: "of", datatype: "INT32", shape: [1] }],
      rawInputContents: [new Uint8Array(Int32Array.of(2).buffer)],
    };
    call.write(Buffer.from(ModelInferRequest.encode(request).finish()));
    call.end();
    await ended;
    const shown = replies.map(({ inferResponse: response }) => {
      expect([response?.modelName, response?.modelVersion, response?.id]).toEqual(["repeat", "1", "7"]);
      const raw = response?.rawOutputContents?.[0];
      return [raw && Buffer.from(raw).readInt32LE(), response?.parameters?.triton_final_response?.boolParam ?? undefined];
    });
    expect(shown).toEqual(expected);
  });

  test("a failure is a reply of its own, behind what came before it, and the stream goes on", async () => {
    const got: unknown[] = [];
    const failed = await failureOf(
      (async () => {
        for await (const { outputs } of overGrpc.inferStream("repeat", { of: of(9) }, { parameters: { throw_at: 2 } }))
          got.push(outputs.number?.data[0]);
      })(),
    );
    expect([got, failed.message]).toEqual([[0, 1], "as asked"]);
  });

  test("ModelInfer is refused", async () => {
    const failed = await failureOf(overGrpc.infer("repeat", { of: of(1) }));
    expect(failed).toEqual({ status: "unsupported", message: "ModelInfer RPC doesn't support models with decoupled transaction policy" });
  });

  test("leaving the loop ends the generator, its finally included", async () => {
    for await (const { outputs } of overGrpc.inferStream("repeat", { of: of(1e9) }, { id: "left-grpc" }))
      if (outputs.number?.data[0] === 3) break;
    await expect.poll(async () => (await told()).some((line) => line.startsWith("left-grpc ended")), { timeout: 10_000 }).toBe(true);
  });

  test("nothing is made that nobody reads", async () => {
    const stream = overGrpc.inferStream("repeat", { of: of(1e9), large: of(1 << 20) }, { id: "slow-grpc" });
    expect((await stream.next()).done).toBe(false);
    await pause(1_000);
    await stream.return?.();
    let line: string | undefined;
    await expect
      .poll(async () => (line = (await told()).find((text) => text.startsWith("slow-grpc ended"))) !== undefined, { timeout: 10_000 })
      .toBe(true);
    // Of 1 MiB each, what fits into the buffers on the way.
    expect(Number(line?.split(" ")[2])).toBeLessThan(100);
  });
});

describe("over HTTP", () => {
  const post = (path: string, body: unknown, signal?: AbortSignal): Promise<Response> =>
    fetch(`${http.url}/v2/models/${path}`, { method: "POST", body: JSON.stringify(body), ...(signal && { signal }) });

  test("generate_stream gives each response as an event", async () => {
    const response = await post("repeat/generate_stream", { of: 3, id: "g" });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const events = (await response.text()).trimEnd().split("\n\n");
    expect(events.map((event) => JSON.parse(event.replace(/^data: /, "")) as unknown)).toEqual(
      numbers(3).map((number) => ({ id: "g", model_name: "repeat", model_version: "1", number })),
    );
  });

  test("a failure is an event behind what came before it; one before them has its status", async () => {
    const late = await post("repeat/generate_stream", { of: 3, throw_at: 1 });
    expect(late.status).toBe(200);
    expect(await late.text()).toMatch(/"number":0\}\n\ndata: ?\{"error":"as asked"\}\n\n$/);
    const early = await post("repeat/generate_stream", { of: 3, throw_at: 0 });
    expect([early.status, await early.text()]).toEqual([400, expect.stringContaining('{"error":"as asked"}')]);
  });

  test("generate takes a model at its word that gives just one", async () => {
    expect(await (await post("one/generate", { text: "hello" })).json()).toMatchObject({ text: "hello", model_name: "one" });
    for (const count of [0, 2]) {
      const response = await post("repeat/generate", { of: count });
      expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([
        500,
        "generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses",
      ]);
    }
  });

  test("infer is refused", async () => {
    const failed = await failureOf(overHttp.infer("repeat", { of: of(1) }));
    expect(failed).toEqual({ status: "unsupported", message: "HTTP end point doesn't support models with decoupled transaction policy" });
  });

  test("a client that goes away ends the generator, also while it waits for something", async () => {
    const aborter = new AbortController();
    const waiting = post("repeat/generate_stream", { of: 5, pauseMs: 600_000, id: "waiting" }, aborter.signal).catch(() => undefined);
    const running = await post("repeat/generate_stream", { of: 1e9, pauseMs: 1, id: "running" }, aborter.signal);
    await running.body?.getReader().read();
    aborter.abort();
    expect(await waiting).toBeUndefined();
    await expect.poll(async () => (await told()).some((line) => line.startsWith("running ended")), { timeout: 10_000 }).toBe(true);
    await expect.poll(async () => (await told()).includes("waiting ended 0 true"), { timeout: 10_000 }).toBe(true);
  });
});

describe("in the server", () => {
  const input = (name: string, value: number): InferInput => ({ name, dataType: "INT32", shape: [1], data: Int32Array.of(value) });
  const run = (inputs: readonly InferInput[], parameters = {}) =>
    served.server.model("repeat", "").admit({}).stream(requestOf("repeat", { inputs, parameters }));
  const all = async (stream: AsyncIterable<unknown>): Promise<number> => {
    let count = 0;
    for await (const _item of stream) count += 1;
    return count;
  };

  test("one instance works on several requests beside each other, and statistics count them", async () => {
    const before = served.server.statistics("repeat", "")[0]!;
    const since = performance.now();
    const counts = await Promise.all(numbers(10).map((count) => all(run([input("of", count), input("pauseMs", 20)]))));
    expect(counts).toEqual(numbers(10));
    expect(performance.now() - since).toBeLessThan(10 * 9 * 20);
    const after = served.server.statistics("repeat", "")[0]!;
    expect(after.inference_count - before.inference_count).toBe(10);
    expect(after.execution_count - before.execution_count).toBe(10);
    expect(after.inference_stats.success.count - before.inference_stats.success.count).toBe(10);
  });

  test("responses are counted by their place among those of their request", async () => {
    await using own = await serveRepository({ "repeat/1/model.ts": repeat });
    const ask = (count: number, parameters = {}) =>
      own.server
        .model("repeat", "")
        .admit({})
        .stream(requestOf("repeat", { inputs: [input("of", count), input("pauseMs", 1)], parameters }));
    expect(await all(ask(2))).toBe(2);
    await failureOf(all(ask(3, { throw_at: 1 })));
    for await (const _first of ask(3)) break;
    const { response_stats: stats } = own.server.statistics("repeat", "")[0]!;
    const counts = Object.entries(stats).map(([place, { success, compute_infer, compute_output, fail, empty_response, cancel }]) => [
      place,
      ...[success, compute_infer, compute_output, fail, empty_response, cancel].map(({ count }) => count),
    ]);
    expect(counts).toEqual([
      ["0", 3, 3, 3, 0, 0, 0],
      ["1", 1, 1, 1, 1, 0, 1],
      ["2", 0, 0, 0, 0, 1, 0],
    ]);
    expect(stats["0"]?.success.ns).toBeGreaterThan(3e6);
  });

  test("a request that does not fit is refused by Triton's words", async () => {
    expect(await failureOf(all(run([])))).toMatchObject({
      status: "INVALID_ARG",
      message: expect.stringContaining("missing required input(s) ['of']") as string,
    });
  });

  test("a crash fails the streams in that worker, and the next one takes requests", async () => {
    const [bystander, bad] = await Promise.all([
      failureOf(all(run([input("of", 1000), input("pauseMs", 10)]))),
      failureOf(all(run([input("of", 10), input("pauseMs", 30)], { crash_at: 3 }))),
    ]);
    expect([bystander.status, bad.status]).toEqual(["worker_crashed", "worker_crashed"]);
    expect(await all(run([input("of", 4)]))).toBe(4);
  });

  test("an unload waits for the streams that are open", async () => {
    await using own = await serveRepository({ "repeat/1/model.ts": repeat }, { control: "explicit", loadModels: ["repeat"] });
    const stream = own.server
      .model("repeat", "")
      .admit({})
      .stream(requestOf("repeat", { inputs: [input("of", 10), input("pauseMs", 30)] }));
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    await own.server.unload("", "repeat", false);
    let rest = 0;
    while ((await iterator.next()).done !== true) rest += 1;
    expect(rest).toBe(9);
  });

  test("a decoupled model in a process", async () => {
    const config = `backend: "typescript" parameters { key: "placement" value { string_value: "process" } }`;
    await using own = await serveRepository({ "repeat/config.pbtxt": config, "repeat/1/model.ts": repeat });
    const stream = own.server
      .model("repeat", "")
      .admit({})
      .stream(requestOf("repeat", { inputs: [input("of", 6), input("large", 100_000)] }));
    expect(await all(stream)).toBe(6);
  });
});
