import { threadId } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { defineService } from "servable";
import { createClient, ServableError } from "servable/client";
import { HttpRuntime, type BatchRunEvent, type RequestEvent, type WorkerEvent } from "servable/http";
import { createLogger } from "servable/http";
import { callService } from "servable/testing";
import { z } from "zod";
import { batched, lengths, type padded, single, type staged, type warmed, type wild } from "../fixtures/inference-services.ts";
import { builtFixture } from "../support/fixtures.ts";

const module = builtFixture("test/fixtures/inference-services.ts");
let runtime: HttpRuntime | undefined;
afterEach(async () => runtime?.stop());

interface Services {
  readonly batched: typeof batched;
  readonly lengths: typeof lengths;
  readonly padded: typeof padded;
  readonly single: typeof single;
  readonly staged: typeof staged;
  readonly warmed: typeof warmed;
  readonly wild: typeof wild;
}

async function start<N extends keyof Services>(name: N) {
  const workers: WorkerEvent[] = [];
  const batches: BatchRunEvent[] = [];
  const requests: RequestEvent[] = [];
  runtime = new HttpRuntime({
    services: [{ module, export: name }],
    port: 0,
    log: await createLogger({ level: "silent" }),
    observers: [
      {
        batchRun: (event) => batches.push(event),
        requestFinished: (event) => requests.push(event),
        workerChanged: (event) => workers.push(event),
      },
    ],
  });
  await runtime.start();
  const client = createClient<Services>(runtime.url, { retries: 0 });
  return { batches, requests, workers, client, call: (x: number) => client[name as "batched"]({ x }) };
}

describe("an inference service in a runtime", () => {
  test("puts requests together, and gives each its own rows", async () => {
    const { call, batches, requests } = await start("batched");
    const answers = await Promise.all(Array.from({ length: 40 }, (_, x) => call(x + 100)));
    expect(answers.map(({ y }) => y)).toEqual(Array.from({ length: 40 }, (_, x) => 2 * (x + 100)));
    expect(Math.max(...answers.map(({ rows }) => rows))).toBeGreaterThan(1);
    expect(Math.max(...batches.map(({ rows }) => rows))).toBeLessThanOrEqual(8);
    expect(batches.reduce((sum, { requests: count }) => sum + count, 0)).toBe(40);
    expect(requests[0]?.stages.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["preprocess", "model", "postprocess"]));
  });

  test("runs one at a time without batching", async () => {
    const { call, batches } = await start("single");
    const answers = await Promise.all([1, 2, 3].map(call));
    expect(answers.map(({ rows }) => rows)).toEqual([1, 1, 1]);
    expect(batches).toHaveLength(3);
  });

  test("keeps a request that fails from its batch-mates", async () => {
    const { call } = await start("batched");
    const settled = await Promise.allSettled([1, 13, 3, 4].map(call));
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({ code: "service_failed" });
  });

  test("fails only what was in flight when the model's thread dies, and goes on", async () => {
    const { call } = await start("batched");
    expect(await call(1)).toMatchObject({ y: 2 });
    await expect(call(666)).rejects.toSatisfy((error) => ServableError.isInstance(error) && error.code === "worker_crashed");
    expect(await call(2)).toMatchObject({ y: 4 });
  });
});

test("what a model gives that are no tensors fails that request, and nothing else", async () => {
  const { call } = await start("wild");
  for (const x of [1, 2, 3, 4, 5]) {
    await expect(call(x)).rejects.toMatchObject({ code: "invalid_output" });
    expect(await call(6)).toMatchObject({ y: 10 });
  }
});

describe("arrays of different lengths", () => {
  test("share a batch where a padding makes them fit", async () => {
    const { client, batches } = await start("padded");
    const lists = [[1], [1, 2], [1, 2, 3], [4, 5, 6, 7]];
    // One list, so that they come together however busy the machine is.
    const answers = (await client.padded.batch(lists)).map(({ output }) => output!);
    expect(answers.map(({ sum }) => sum)).toEqual([1, 3, 6, 22]);
    expect(batches.reduce((sum, { requests }) => sum + requests, 0)).toBe(4);
    // However they came together: as wide as its longest, and never narrower than its own.
    for (const [index, { width }] of answers.entries()) expect(width).toBeGreaterThanOrEqual(lists[index]!.length);
    expect(batches.length).toBeLessThan(4);
  });
});

describe("a batchable service", () => {
  test("makes one run of several requests, and an answer for each", async () => {
    const { client, batches } = await start("lengths");
    const words = Array.from({ length: 30 }, (_, index) => "x".repeat(index));
    const answers = await Promise.all(words.map((word) => client.lengths(word)));
    expect(answers.map(({ length }) => length)).toEqual(words.map((word) => word.length));
    expect(Math.max(...answers.map(({ together }) => together))).toBeGreaterThan(1);
    expect(Math.max(...batches.map(({ rows }) => rows))).toBeLessThanOrEqual(8);
  });

  test("a request that can't be put together with others fails alone", async () => {
    const { client } = await start("lengths");
    const settled = await Promise.allSettled(["a", "poison", "bc", "d"].map((word) => client.lengths(word)));
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  });

  test("what it says goes first, goes first", async () => {
    const { client } = await start("lengths");
    const done: string[] = [];
    const call = async (word: string): Promise<void> => {
      await client.lengths(word);
      done.push(word);
    };
    const usual = Promise.all(Array.from({ length: 48 }, (_, index) => call(`usual ${index}`)));
    await expect.poll(() => done.length, { interval: 1 }).toBeGreaterThan(0);
    // Most of the others wait by now, and it comes behind them.
    await Promise.all([usual, call("!urgent")]);
    expect(done.indexOf("!urgent")).toBeLessThan(40);
  });
});

describe("stages on threads of their own", () => {
  test("run beside the model and the server, and what comes together is still put together", async () => {
    const { client, batches, requests, workers } = await start("staged");
    const answers = await Promise.all(Array.from({ length: 24 }, (_, x) => client.staged({ x: x + 20 })));
    expect(answers.map(({ y }) => y)).toEqual(Array.from({ length: 24 }, (_, x) => 2 * (x + 20)));
    const stageThreads = new Set(answers.map(({ preprocessed }) => preprocessed));
    const modelThreads = new Set(answers.map(({ model }) => model));
    expect(stageThreads.size).toBe(2);
    for (const thread of [...stageThreads, ...modelThreads]) expect(thread).not.toBe(threadId);
    for (const thread of stageThreads) expect(modelThreads).not.toContain(thread);
    expect(Math.max(...batches.map(({ rows }) => rows))).toBeGreaterThan(1);
    expect(requests[0]?.stages.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["preprocess", "model", "postprocess"]));
    expect(workers.filter(({ change }) => change === "ready").map(({ worker }) => worker)).toEqual(expect.arrayContaining([0, 1, 2, 3]));
    expect(runtime?.status?.services.staged).toMatchObject({ ready: 4, total: 4 });
  });

  test("a model is loaded for its worker and its device", async () => {
    const { client } = await start("staged");
    const devices = new Set<number>();
    for (let round = 0; round < 20 && devices.size < 2; round += 1) {
      const answers = await Promise.all(Array.from({ length: 32 }, (_, x) => client.staged({ x: x + 20 })));
      for (const { device } of answers) devices.add(device);
    }
    expect([...devices].sort()).toEqual([40, 71]);
  });

  test("a stage that computes for long holds up neither the server nor the model", async () => {
    const { client } = await start("staged");
    const long = client.staged({ x: 1, spinMs: 1_500 });
    let isLongDone = false;
    void long.then(() => (isLongDone = true));
    for (let x = 20; x < 30; x += 1) expect(await client.staged({ x })).toMatchObject({ y: 2 * x });
    expect(isLongDone).toBe(false);
    expect(await long).toMatchObject({ y: 2 });
  });

  test("what the model throws is the request's failure, and no one else's", async () => {
    const { client } = await start("staged");
    const settled = await Promise.allSettled([12, 13, 14].map((x) => client.staged({ x })));
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });

  test.each(["inline", "thread"] as const)("are refused where there are none to place: %s", async (placement) => {
    const plain = defineService({ name: "plain", policy: { placement, stages: { workers: 1 } }, call: (x) => x });
    const started = new HttpRuntime({ services: [plain], port: 0, log: await createLogger({ level: "silent" }) }).start();
    await expect(started).rejects.toMatchObject({ code: "invalid_config", message: expect.stringContaining("policy.stages") as string });
  });
});

describe("warm-up", () => {
  test("runs on every worker before the service is ready, alone and in a full batch, and is told", async () => {
    const { client, workers, requests } = await start("warmed");
    expect(requests).toEqual([]);
    const seen = await Promise.all([client.warmed({ x: 1 }), client.warmed({ x: 2 }), client.warmed({ x: 3 })]);
    for (const before of seen) expect(before.slice(0, 4)).toEqual([1, 4, 1, 4]);
    expect(workers.filter(({ change }) => change === "ready")).toHaveLength(2);
    expect(workers.find(({ change }) => change === "warmed_up")?.warmupMs).toBeGreaterThan(0);
  });

  test("is done again for a worker that takes another one's place", async () => {
    const { client, workers } = await start("warmed");
    await expect(client.warmed({ x: 666 })).rejects.toMatchObject({ code: "worker_crashed" });
    await expect.poll(() => workers.filter(({ change }) => change === "ready").length, { timeout: 10_000 }).toBe(3);
    const seen = await Promise.all(Array.from({ length: 8 }, (_, x) => client.warmed({ x })));
    for (const before of seen) expect(before.slice(0, 4)).toEqual([1, 4, 1, 4]);
  });

  test("a request of it that fails keeps the service from starting, and says which", async () => {
    const failing = defineService({ name: "failing", warmup: [1, "two"], input: z.number(), call: (x) => x });
    const started = new HttpRuntime({ services: [failing], port: 0, log: await createLogger({ level: "silent" }) }).start();
    await expect(started).rejects.toMatchObject({ code: "load_failed", message: expect.stringContaining("warm-up request 2") as string });
  });
});

test("a bare call, and one through the handlers, run the same stages here", async () => {
  expect(await single.call({ x: 4 })).toMatchObject({ y: 8, rows: 1 });
  expect(await callService(batched, { x: 5 })).toMatchObject({ y: 10, rows: 1 });
  expect(await lengths.call("four")).toEqual({ length: 4, together: 1 });
});
