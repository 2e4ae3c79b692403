/** How requests share a batch, wait, and are refused, as a configuration says; and what of it statistics tell. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { InferRequest } from "servable/server";
import { writeOnnx } from "../support/onnx-writer.ts";
import { failureOf, serveRepository, type Served } from "./support.ts";

const double = writeOnnx({
  inputs: [{ name: "x", dataType: "FP32", shape: ["batch", "n"] }],
  outputs: [{ name: "y", dataType: "FP32", shape: ["batch", "n"] }],
  nodes: [{ op: "Add", inputs: ["x", "x"], outputs: ["y"] }],
});
const serve = (more: string, maxBatchSize = 8, count = 1): Promise<Served> =>
  serveRepository({
    "m/config.pbtxt": `backend: "onnxruntime" max_batch_size: ${maxBatchSize}
      input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }
      instance_group { count: ${count} kind: KIND_CPU } ${more}`,
    "m/1/model.onnx": double,
  });
const rows = (count: number, width = 2, first = 0): Pick<InferRequest, "inputs"> => ({
  inputs: [
    {
      name: "x",
      dataType: "FP32",
      shape: [count, width],
      data: Float32Array.from({ length: count * width }, (_, index) => first + index),
    },
  ],
});
const batchSizes = ({ server }: Served): readonly (readonly [number, number])[] =>
  server.statistics("m", "1")[0]!.batch_stats.map(({ batch_size, compute_infer }) => [batch_size, compute_infer.count] as const);

describe("dynamic batching", () => {
  test("waits for company as long as it is told to, and gives each its own rows", async () => {
    await using served = await serve("dynamic_batching { max_queue_delay_microseconds: 300000 }");
    const responses = await Promise.all(
      [0, 1, 2].map(async (index) => {
        await pause(index * 30);
        return served.infer("m", rows(2, 2, 10 * index));
      }),
    );
    expect(responses.map(({ outputs }) => [...(outputs[0]!.data as Float32Array)])).toEqual(
      [0, 1, 2].map((index) => [0, 1, 2, 3].map((value) => 2 * (10 * index + value))),
    );
    expect(batchSizes(served)).toEqual([[6, 1]]);
  });

  test("leaves at once at a preferred size", async () => {
    await using served = await serve("dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 10000000 }");
    await Promise.all([served.infer("m", rows(1)), served.infer("m", rows(1))]);
    expect(batchSizes(served)).toEqual([[2, 1]]);
  });

  test("joins only equal shapes", async () => {
    await using served = await serve("dynamic_batching { max_queue_delay_microseconds: 50000 }");
    await Promise.all([served.infer("m", rows(1, 2)), served.infer("m", rows(1, 3)), served.infer("m", rows(1, 2))]);
    expect(batchSizes(served)).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  test("without it each request is a batch of its own", async () => {
    await using served = await serve("");
    await Promise.all([served.infer("m", rows(3)), served.infer("m", rows(3)), served.infer("m", rows(1))]);
    expect(batchSizes(served)).toEqual([
      [1, 1],
      [3, 2],
    ]);
  });

  test("answers in the order of arrival where that is asked for", async () => {
    await using served = await serve("dynamic_batching { preserve_ordering: true }", 8, 2);
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        await served.infer("m", rows(1, index % 2 === 0 ? 60_000 : 2));
        order.push(index);
      }),
    );
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });
});

describe("queue policies", () => {
  test("refuse what is too much", async () => {
    await using served = await serve(
      "dynamic_batching { max_queue_delay_microseconds: 300000 default_queue_policy { max_queue_size: 2 } }",
    );
    const first = [served.infer("m", rows(1)), served.infer("m", rows(1))];
    expect(await failureOf(served.infer("m", { id: "x", ...rows(1) }))).toEqual({
      status: "UNAVAILABLE",
      message: "[request id: x] Exceeds maximum queue size",
    });
    await Promise.all(first);
    // The places are free again.
    await served.infer("m", rows(1));
    const [report] = served.server.reports();
    expect(report).toMatchObject({ pending: 0, failures: { REJECTED: 1, BACKEND: 0 } });
    expect(report!.statistics.inference_stats).toMatchObject({ success: { count: 3 }, fail: { count: 0 } });
  });

  test("reject who waited for too long, and let a request only shorten that", async () => {
    await using served = await serve(`dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 400000
      default_queue_policy { default_timeout_microseconds: 150000 allow_timeout_override: true } }`);
    const since = performance.now();
    const late = { status: "UNAVAILABLE", message: "Request timeout expired" };
    expect(await failureOf(served.infer("m", { ...rows(1), parameters: { timeout: 20_000 } }))).toEqual(late);
    expect(performance.now() - since).toBeLessThan(120);
    expect(await failureOf(served.infer("m", { ...rows(1), parameters: { timeout: 9_000_000 } }))).toEqual(late);
  });

  test("a time-out of a request alone means nothing", async () => {
    await using served = await serve("dynamic_batching { max_queue_delay_microseconds: 50000 }");
    await served.infer("m", { ...rows(1), parameters: { timeout: 1 } });
  });

  test("delay who waited for too long behind the others of its level", async () => {
    await using served = await serve(
      `dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 250000
        default_queue_policy { default_timeout_microseconds: 40000 timeout_action: DELAY } }`,
      3,
    );
    const done: string[] = [];
    const send = async (name: string): Promise<void> => {
      await served.infer("m", rows(2));
      done.push(name);
    };
    const first = send("first");
    await pause(80);
    await Promise.all([first, send("second")]);
    expect(done).toEqual(["second", "first"]);
  });

  test("priorities go first; one that does not exist is the usual one", async () => {
    await using served = await serve(
      "dynamic_batching { max_queue_delay_microseconds: 100000 priority_levels: 3 default_priority_level: 2 }",
      1 + 1,
    );
    const done: string[] = [];
    const send = async (name: string, priority: number): Promise<void> => {
      await served.infer("m", { ...rows(2), parameters: { priority } });
      done.push(name);
    };
    await Promise.all([send("last", 3), send("usual", 99), send("usual too", 0), send("first", 1)]);
    expect(done).toEqual(["first", "usual", "usual too", "last"]);
  });
});

describe("statistics", () => {
  test("count requests, rows and batches", async () => {
    await using served = await serve("dynamic_batching { max_queue_delay_microseconds: 100000 }");
    await Promise.all([served.infer("m", rows(2)), served.infer("m", rows(3))]);
    await served.infer("m", rows(8));
    const [statistics] = served.server.statistics("m", "");
    expect(statistics).toMatchObject({
      name: "m",
      version: "1",
      inference_count: 13,
      execution_count: 2,
      response_stats: {},
      memory_usage: [],
    });
    const stats = statistics!.inference_stats;
    for (const kind of ["success", "queue", "compute_input", "compute_infer", "compute_output"] as const) expect(stats[kind].count).toBe(3);
    for (const kind of ["fail", "cache_hit", "cache_miss"] as const) expect(stats[kind]).toEqual({ count: 0, ns: 0 });
    expect(stats.queue.ns).toBeGreaterThan(50e6);
    expect(stats.success.ns).toBeGreaterThan(stats.queue.ns + stats.compute_infer.ns);
    expect(Date.now() - statistics!.last_inference).toBeLessThan(10_000);
    expect(() => served.server.statistics("nope", "")).toThrow("requested model 'nope' is not available");
  });

  test("a request whose client went away is cancelled, and its place is free", async () => {
    await using served = await serve("dynamic_batching { max_queue_delay_microseconds: 200000 }");
    const admission = served.server.model("m", "").admit({});
    const failure = failureOf(admission.infer({ modelName: "m", modelVersion: "", id: "", parameters: {}, outputs: [], ...rows(1) }));
    admission.cancel();
    expect((await failure).status).toBe("cancelled");
    expect(served.server.reports()[0]).toMatchObject({ pending: 0, failures: { CANCELED: 1 } });
  });
});
