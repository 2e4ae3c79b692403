/** A service with a model of its own that is placed inline: the model runs on the thread that does I/O, with requests put together all the same. */
import { setTimeout as pause } from "node:timers/promises";
import { Tensor, defineInference, type Model, type ModelRunOptions, type NamedArrays } from "servable";
import { ServableError } from "servable/client";
import type { BatchRunEvent, WorkerEvent } from "servable/http";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { LocalModel } from "../../src/engine/placement/local-model.ts";
import { assertMayBlock, markIoThread, unmarkIoThread } from "../../src/model/io-thread.ts";
import { keepLog, serve, until, type Serving } from "../support/serving.ts";

let server: Serving | undefined;
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

interface Run {
  readonly rows: number;
  readonly signal: AbortSignal | undefined;
}

/** Doubles each row; fails a batch with a 13 in it. */
function double(runs: Run[], more: Partial<Model> = {}): Model {
  return {
    name: "double",
    inputs: [],
    outputs: [],
    close: () => undefined,
    run: async ({ x }: NamedArrays, { signal }: ModelRunOptions = {}) => {
      assertMayBlock("Running the model 'double'");
      const rows = x?.as("FP32").data ?? new Float32Array();
      runs.push({ rows: rows.length, signal });
      await pause(5);
      assertMayBlock("Going on with the model 'double'");
      if (rows.includes(13)) throw new Error("unlucky, and a secret");
      const doubled = rows.map((value) => 2 * value);
      return { y: new Tensor("FP32", [rows.length, 1], doubled) };
    },
    ...more,
  };
}

async function start(model: () => Model | Promise<Model>, warmup: readonly number[] = []) {
  const batches: BatchRunEvent[] = [];
  const workers: WorkerEvent[] = [];
  const service = defineInference({
    name: "double",
    input: z.number(),
    output: z.number(),
    model,
    warmup,
    policy: { placement: "inline", batching: { maxRows: 8 } },
    preprocess: (x) => ({ x: new Tensor("FP32", [1, 1], Float32Array.of(x)) }),
    postprocess: ({ y }) => y?.as("FP32").data[0] ?? Number.NaN,
  });
  const observer = {
    batchRun: (event: BatchRunEvent) => void batches.push(event),
    workerChanged: (event: WorkerEvent) => void workers.push(event),
  };
  server = await serve([service], { observers: [observer] });
  const { post } = server;
  const call = async (x: number): Promise<unknown> => {
    const response = await post("/double", String(x));
    return response.ok ? response.json() : ((await response.json()) as { code: string }).code;
  };
  return { batches, workers, call, get: server.get };
}

describe("a model on the thread that does I/O", () => {
  test("runs for several requests at once, each of which gets its own rows", async () => {
    const runs: Run[] = [];
    const { batches, workers, call, get } = await start(() => double(runs));
    const numbers = Array.from({ length: 40 }, (_, index) => index + 100);
    expect(await Promise.all(numbers.map(call))).toEqual(numbers.map((x) => 2 * x));
    expect(Math.max(...runs.map(({ rows }) => rows))).toBeGreaterThan(1);
    expect(Math.max(...runs.map(({ rows }) => rows))).toBeLessThanOrEqual(8);
    expect(batches.map(({ rows }) => rows)).toEqual(runs.map(({ rows }) => rows));
    expect(workers).toEqual([
      { service: "double", worker: 0, change: "ready", startMs: expect.any(Number) as number, warmupMs: undefined },
    ]);
    const ready = (await (await get("/readyz")).json()) as { services: unknown };
    expect(ready.services).toMatchObject({ double: { placement: "inline", ready: 1, total: 1 } });
  });

  test("fails one request and not its batch-mates, and says nothing of why", async () => {
    const { call } = await start(() => double([]));
    expect(await Promise.all([12, 13, 14].map(call))).toEqual([24, "service_failed", 28]);
  });

  test("fails a request for which the model gives no tensors", async () => {
    const { call } = await start(() => double([], { run: () => ({ y: [1] }) as unknown as NamedArrays }));
    expect(await call(1)).toBe("invalid_output");
  });

  test("is warmed up before the service is ready, with one request and with a full batch", async () => {
    const runs: Run[] = [];
    const { workers } = await start(() => double(runs), [1]);
    expect(runs.map(({ rows }) => rows)).toEqual([1, 8]);
    expect(workers.map(({ change }) => change)).toEqual(["ready", "warmed_up"]);
  });

  test("hears that nobody waits for its run any more, where it can", async () => {
    const runs: Run[] = [];
    const run: Model["run"] = async (_inputs, { signal } = {}) => {
      runs.push({ rows: 1, signal });
      await new Promise((resolve) => signal?.addEventListener("abort", resolve));
      throw signal?.reason as Error;
    };
    await start(() => double(runs, { cancellable: true, run }));
    const client = new AbortController();
    const gone = server?.post("/double", "1", {}, client.signal);
    await until(() => runs.length === 1, "the run");
    client.abort();
    await expect(gone).rejects.toThrow();
    await until(() => runs[0]?.signal?.aborted === true, "the signal");
  });

  test("may be loaded by what waits for something first, and is closed in the end", async () => {
    let isClosed = false;
    const { call } = await start(async () => {
      await pause(1);
      assertMayBlock("Loading the model");
      return double([], { close: () => void (isClosed = true) });
    });
    expect(await call(2)).toBe(4);
    await server?.runtime.stop();
    expect(isClosed).toBe(true);
  });
});

describe("the thread's protection", () => {
  const local = (load: () => Promise<Model>): LocalModel =>
    new LocalModel({ service: "s", load, device: undefined, log: keepLog(), onChange: () => undefined });
  const check = (): void => {
    assertMayBlock("This");
  };
  afterEach(unmarkIoThread);

  test("is off while the model is there, and on again afterwards", async () => {
    markIoThread();
    const model = local(() => Promise.resolve(double([])));
    expect(check).toThrow();
    await model.start();
    check();
    await model.stop();
    await model.stop();
    expect(check).toThrow();
    await expect(model.run({}, false)).rejects.toMatchObject({ code: "unavailable" });
  });

  test("is on again where the model can't be loaded", async () => {
    markIoThread();
    await expect(local(() => Promise.reject(new Error("no such file"))).start()).rejects.toSatisfy(
      (thrown) => ServableError.isInstance(thrown) && thrown.code === "load_failed" && thrown.message.includes("no such file"),
    );
    expect(check).toThrow();
  });

  test("is on again where it was stopped while it was loaded, and the model is closed", async () => {
    markIoThread();
    let isClosed = false;
    const model = local(async () => {
      await model.stop();
      return double([], { close: () => void (isClosed = true) });
    });
    await model.start();
    expect(isClosed).toBe(true);
    expect(model.idle()).toBe(0);
    expect(check).toThrow();
  });
});
