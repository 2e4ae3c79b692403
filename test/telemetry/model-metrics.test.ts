/** What metrics and log say of models: their batches, why each left, how long it waited and ran; how long loading and warm-up took. */
import type { BatchRunEvent } from "servable/http";
import { describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { serve, until, type Serving } from "../support/serving.ts";

const module = builtFixture("test/fixtures/inference-services.ts");

/** Each sample of a metric, by its labels. */
async function samples(server: Serving, name: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await server.get("/metrics")).text();
  const found = [...text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"))];
  return new Map(found.map(([, labels = "", value]) => [labels, Number(value)]));
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

describe("the batches of a model", () => {
  test("are counted by why they left, with their rows, their wait and their run", async () => {
    const batches: BatchRunEvent[] = [];
    await using server = await serve([{ module, export: "batched" }], { observers: [{ batchRun: (event) => void batches.push(event) }] });
    await Promise.all(
      Array.from({ length: 40 }, async (_, x) => {
        expect(await (await server.post("/batched", `{"x":${x + 20}}`)).json()).toMatchObject({ y: 2 * (x + 20) });
      }),
    );
    const reasons = new Map<string, number>();
    for (const { reason } of batches)
      reasons.set(`service="batched",reason="${reason}"`, (reasons.get(`service="batched",reason="${reason}"`) ?? 0) + 1);
    expect(await samples(server, "servable_batches_total")).toEqual(reasons);
    // While a batch runs the next ones fill up.
    expect(reasons.get('service="batched",reason="full"')).toBeGreaterThan(0);
    const label = 'service="batched"';
    expect((await samples(server, "servable_batch_rows_count")).get(label)).toBe(batches.length);
    expect((await samples(server, "servable_batch_rows_sum")).get(label)).toBe(40);
    expect((await samples(server, "servable_batch_queue_seconds_count")).get(label)).toBe(batches.length);
    expect((await samples(server, "servable_batch_queue_seconds_sum")).get(label)).toBeCloseTo(
      sum(batches.map(({ queueMs }) => queueMs)) / 1_000,
      6,
    );
    const ranFor = (await samples(server, "servable_batch_run_seconds_sum")).get(label) ?? 0;
    expect(ranFor).toBeCloseTo(sum(batches.map(({ runMs }) => runMs)) / 1_000, 6);
    // Each takes 5 ms, by a timer.
    expect(ranFor).toBeGreaterThan(0.004 * batches.length);
    const stages = await samples(server, "servable_stage_duration_seconds_count");
    for (const stage of ["queue", "preprocess", "model", "postprocess"]) expect(stages.get(`service="batched",stage="${stage}"`)).toBe(40);
  });
});

test("how long loading and warm-up took is in metrics and log", async () => {
  await using server = await serve([{ module, export: "warmed" }]);
  const [start] = (await samples(server, "servable_worker_start_seconds")).values();
  const [warmup] = (await samples(server, "servable_worker_warmup_seconds")).values();
  expect(start).toBeGreaterThan(0);
  expect(warmup).toBeGreaterThan(0);
  const lines = (message: string): readonly Readonly<Record<string, unknown>>[] =>
    server.lines.filter((line) => line.message === message).map(({ fields }) => fields);
  expect(lines("worker ready")).toHaveLength(2);
  for (const { startMs } of lines("worker ready")) expect(startMs).toBeGreaterThan(0);
  expect(lines("worker warmed up").length).toBeGreaterThan(0);
  for (const { warmupMs } of lines("worker warmed up")) expect(warmupMs).toBeGreaterThan(0);
});

test("a worker's crash is counted, and its successor's start is told anew", async () => {
  await using server = await serve([{ module, export: "single" }]);
  const before = (await samples(server, "servable_worker_start_seconds")).get('service="single"');
  expect((await server.post("/single", '{"x":666}')).status).toBe(500);
  await until(() => server.lines.filter(({ message }) => message === "worker ready").length === 2, "its successor");
  expect((await samples(server, "servable_worker_crashes_total")).get('service="single"')).toBe(1);
  expect((await samples(server, "servable_worker_start_seconds")).get('service="single"')).not.toBe(before);
  expect((await samples(server, "servable_workers_ready")).get('service="single"')).toBe(1);
});
