import type { Placement } from "servable";
import type { BatchRunEvent, HttpRuntimeOptions, WorkerEvent } from "servable/http";
import { describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { problemOf, serve, until, type Serving } from "../support/serving.ts";

const module = builtFixture("test/fixtures/waiting-services.ts");

interface Seeing extends AsyncDisposable {
  readonly server: Serving;
  readonly batches: BatchRunEvent[];
  readonly workers: WorkerEvent[];
  /** Posts to the service; gives its answer. */
  ask(request: unknown): Promise<unknown>;
}

async function start(name: string, policy: object = {}, options: Partial<HttpRuntimeOptions> = {}): Promise<Seeing> {
  const batches: BatchRunEvent[] = [];
  const workers: WorkerEvent[] = [];
  const observer = {
    batchRun: (event: BatchRunEvent) => void batches.push(event),
    workerChanged: (event: WorkerEvent) => void workers.push(event),
  };
  const server = await serve([{ service: { module, export: name }, policy }], { observers: [observer], ...options });
  const path = `/${Object.keys(server.runtime.status?.services ?? {})[0] ?? name}`;
  return {
    server,
    batches,
    workers,
    ask: async (request) => (await server.post(path, JSON.stringify(request))).json(),
    [Symbol.asyncDispose]: () => server.runtime.stop(),
  };
}

/** A batch may wait 20 s for others here: what waits in vain fails by the time that the test has. */
describe("a batch does not wait for", { timeout: 15_000 }, () => {
  test("requests that queue for the slots which its own hold", async () => {
    await using seeing = await start("few");
    const answers = await Promise.all(Array.from({ length: 12 }, () => seeing.ask({})));
    for (const rows of answers) expect(rows).toBeLessThanOrEqual(4);
    expect(seeing.batches.reduce((sum, { requests }) => sum + requests, 0)).toBe(12);
    expect(seeing.batches.filter(({ reason }) => reason === "delay")).toEqual([]);
  });

  test("requests that were just answered", async () => {
    await using seeing = await start("many");
    const first = seeing.ask({ model: 300 });
    await until(() => seeing.server.runtime.status?.services.many?.running === 1, "the first one");
    // It comes while the model runs, and waits when the first one is answered and not gone yet.
    expect(await Promise.all([first, seeing.ask({ model: 1 })])).toEqual([1, 1]);
    expect(seeing.batches.map(({ reason }) => reason)).toEqual(["idle", "idle"]);
  });

  test("requests that are answered and still postprocessed", async () => {
    await using seeing = await start("many");
    const first = seeing.ask({ model: 300, after: 14_000 }).catch(() => undefined);
    await until(() => seeing.server.runtime.status?.services.many?.running === 1, "the first one");
    expect(await seeing.ask({ model: 1 })).toBe(1);
    void first;
    await seeing.server.runtime.stop();
  });

  test("the list that its requests came in", async () => {
    await using seeing = await start("many");
    const response = await seeing.server.post("/many/batch", JSON.stringify([{}, {}]));
    expect(response.status).toBe(200);
    await response.text();
    expect(seeing.batches.reduce((sum, { requests }) => sum + requests, 0)).toBe(2);
    for (const { reason } of seeing.batches) expect(reason).toBe("idle");
  });

  test("a request that fails on its way", async () => {
    await using seeing = await start("many");
    const failing = seeing.ask({ before: 600, fails: true });
    await until(() => seeing.server.runtime.status?.services.many?.running === 1, "the failing one");
    expect(await seeing.ask({})).toBe(1);
    expect(await failing).toMatchObject({ code: "service_failed" });
    expect(seeing.batches[0]?.queueMs).toBeGreaterThan(100);
  });

  test("a body that stops coming", async () => {
    await using seeing = await start("many");
    const aborter = new AbortController();
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("{"));
      },
    });
    const stalled = seeing.server.post("/many", body, {}, aborter.signal).catch(() => undefined);
    await until(() => seeing.server.runtime.status?.services.many?.inFlight === 1, "the stalled one");
    const answer = seeing.ask({});
    await until(() => seeing.server.runtime.status?.services.many?.running === 1, "the other one");
    aborter.abort();
    expect(await answer).toBe(1);
    await stalled;
  });
});

test("a batch waits for a request that is on its way to the model, and leaves with it", { timeout: 15_000 }, async () => {
  await using seeing = await start("many");
  const late = seeing.ask({ before: 300 });
  await until(() => seeing.server.runtime.status?.services.many?.running === 1, "the late one");
  expect(await Promise.all([late, seeing.ask({})])).toEqual([2, 2]);
});

describe("workers with stages", () => {
  test("warm each model up once, however many they are, and one that is started later as much", async () => {
    await using seeing = await start("warmedByTwo");
    await expect(seeing.ask(666)).resolves.toMatchObject({ code: "worker_crashed" });
    await until(() => seeing.workers.filter(({ change }) => change === "ready").length === 4, "the next worker");
    expect(await seeing.ask(3)).toEqual([1, 4, 1, 4]);
  });

  test("one that dies takes the runs along that were for its calls", async () => {
    await using seeing = await start("frail");
    const running = seeing.ask(700);
    await until(() => seeing.server.runtime.status?.services.frail?.running === 1, "the first one");
    const queued = [1, 1, 1].map((ms) => seeing.ask(ms));
    await until(() => seeing.server.runtime.status?.services.frail?.running === 4, "those behind it");
    const failures = await Promise.all([running, ...queued, seeing.ask(666)]);
    expect(failures.map((failure) => (failure as { readonly code: string }).code)).toEqual(
      Array.from({ length: 5 }, () => "worker_crashed"),
    );
    await until(() => seeing.server.runtime.status?.services.frail?.ready === 2, "the next worker");
    expect(await seeing.ask(1)).toBe(1);
    // That which ran already, and the last one.
    expect(seeing.batches).toHaveLength(2);
  });
});

describe.each(["thread", "process"] satisfies Placement[])("in a %s:", (placement) => {
  test("a request whose time passes while another one holds the thread is never computed", async () => {
    await using seeing = await start("holding", { placement, concurrency: 2, deadlineMs: 200 });
    expect(await seeing.ask(0)).toBe(0);
    const both = await Promise.all([seeing.server.post("/holding", "600"), seeing.server.post("/holding", "1")]);
    for (const response of both) await problemOf(response, 504, "deadline_exceeded");
    await until(() => seeing.server.runtime.status?.services.holding?.inFlight === 0, "the end of both");
    // The first one, and the one that held the thread.
    expect(await seeing.ask(0)).toBe(2);
  });
});

describe.each(["inline", "thread", "process"] satisfies Placement[])("placed %s:", (placement) => {
  test("the deadline that a stream sees is that of its next item", async () => {
    await using seeing = await start("inTime", { placement, deadlineMs: 250 });
    const response = await seeing.server.post("/in-time", "10");
    const items = (await response.text()).trim().split("\n");
    expect(items.map((line) => JSON.parse(line) as unknown)).toEqual(Array.from({ length: 10 }, () => true));
  });
});

test("a model that dies of every request: when it is given up, what waits is refused at once", { timeout: 30_000 }, async () => {
  await using seeing = await start("doomed", { deadlineMs: 25_000, concurrency: 100 });
  const waiting = Array.from({ length: 8 }, async () => seeing.server.post("/doomed", "1"));
  const problems = await Promise.all(waiting);
  await until(() => seeing.workers.some(({ change }) => change === "crash_loop"), "the crash loop");
  const statuses = problems.map(({ status }) => status).sort();
  expect(statuses).toEqual([500, 500, 500, 500, 500, 503, 503, 503]);
  await problemOf(await seeing.server.post("/doomed", "1"), 503, "not_ready");
  for (const problem of problems) await problem.text();
  expect(seeing.workers.filter(({ change }) => change === "crashed")).toHaveLength(5);
});
