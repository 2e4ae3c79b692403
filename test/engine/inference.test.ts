import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { createClient, ServableError } from "servable/client";
import { HttpRuntime, type BatchRunEvent, type RequestEvent } from "servable/http";
import { createLogger } from "servable/http";
import { callService } from "servable/testing";
import { batched, single } from "../fixtures/inference-services.ts";

const module = fileURLToPath(new URL("../fixtures/inference-services.ts", import.meta.url));
let runtime: HttpRuntime | undefined;
afterEach(async () => runtime?.stop());

async function start(name: "batched" | "single") {
  const batches: BatchRunEvent[] = [];
  const requests: RequestEvent[] = [];
  runtime = new HttpRuntime({
    services: [{ module, export: name }],
    port: 0,
    log: await createLogger({ level: "silent" }),
    observers: [{ batchRun: (event) => batches.push(event), requestFinished: (event) => requests.push(event) }],
  });
  await runtime.start();
  const client = createClient<{ batched: typeof batched; single: typeof single }>(runtime.url, { retries: 0 });
  return { batches, requests, call: (x: number) => client[name]({ x }), url: runtime.url };
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

test("a bare call, and one through the handlers, run the same stages here", async () => {
  expect(await single.call({ x: 4 })).toMatchObject({ y: 8, rows: 1 });
  expect(await callService(batched, { x: 5 })).toMatchObject({ y: 10, rows: 1 });
});
