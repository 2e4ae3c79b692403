import { getEventListeners } from "node:events";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { resolveBatchPolicy } from "../../src/engine/batching/batch-policy.ts";
import { DynamicBatcher, type BatchEvent } from "../../src/engine/batching/dynamic-batcher.ts";
import { ServableError } from "../../src/errors.ts";
import type { BatchPolicy } from "../../src/service/definition.ts";
import { callerOf } from "../../src/engine/batching/caller.ts";
import { FakeClock } from "../support/fake-clock.ts";

interface Request {
  readonly id: number;
  readonly rows?: number;
  readonly shape?: string;
  readonly poison?: boolean;
}

interface Bench {
  readonly clock: FakeClock;
  readonly batcher: DynamicBatcher<Request, string>;
  readonly events: BatchEvent[];
  readonly batches: number[][];
  expected: number;
}

/** A model that takes 10 ms a batch, on some workers, and fails a batch that has a poisoned request in it. */
function bench(policy: BatchPolicy, workers = 1): Bench {
  const clock = new FakeClock();
  const events: BatchEvent[] = [];
  const batches: number[][] = [];
  let busy = 0;
  const made: Bench = {
    clock,
    events,
    batches,
    expected: 0,
    batcher: new DynamicBatcher<Request, string>({
      policy: resolveBatchPolicy(policy),
      clock,
      rowsOf: ({ rows }) => rows ?? 1,
      keyOf: ({ shape }) => shape ?? "",
      idle: () => workers - busy,
      expected: () => made.expected,
      onBatch: (event) => events.push(event),
      async run(requests) {
        batches.push(requests.map(({ id }) => id));
        busy += 1;
        await new Promise<void>((resolve) => clock.after(10, resolve));
        busy -= 1;
        if (requests.some(({ poison }) => poison)) throw new Error("poisoned");
        return requests.map(({ id }) => `out ${id}`);
      },
    }),
  };
  return made;
}

const codeOf = (outcome: PromiseSettledResult<unknown>): unknown =>
  outcome.status === "rejected" ? (ServableError.isInstance(outcome.reason) ? outcome.reason.code : String(outcome.reason)) : "ok";

describe("leaving", () => {
  test("a single request leaves at once when nothing else is on its way, whatever the delay", async () => {
    const { batcher, clock, events } = bench({ maxRows: 8, maxDelayMs: 100 });
    const answer = batcher.submit({ id: 1 });
    await clock.advance(10);
    expect(await answer).toBe("out 1");
    expect(events).toMatchObject([{ requests: 1, reason: "idle", queueMs: 0 }]);
  });

  test("waits for company that is on its way, and no longer than the delay", async () => {
    const made = bench({ maxRows: 8, maxDelayMs: 5 });
    made.expected = 1;
    void made.batcher.submit({ id: 1 });
    await made.clock.advance(3);
    expect(made.batches).toEqual([]);
    void made.batcher.submit({ id: 2 });
    await made.clock.advance(12);
    expect(made.batches).toEqual([[1, 2]]);
    expect(made.events).toMatchObject([{ reason: "delay", queueMs: 5 }]);
  });

  test("counts rows, not requests", async () => {
    const { batcher, clock, batches, events } = bench({ maxRows: 4 });
    for (const [id, rows] of [3, 1, 2, 2].entries()) void batcher.submit({ id, rows });
    await clock.advance(20);
    expect(batches).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(events).toMatchObject([
      { rows: 4, requests: 2, reason: "full" },
      { rows: 4, requests: 2, reason: "full" },
    ]);
  });

  test("a preferred size does not wait for more", async () => {
    const made = bench({ maxRows: 8, maxDelayMs: 50, preferredRows: [2] });
    made.expected = 1;
    void made.batcher.submit({ id: 1 });
    void made.batcher.submit({ id: 2 });
    await made.clock.advance(10);
    expect(made.events).toMatchObject([{ rows: 2, reason: "preferred" }]);
  });

  test("shapes that can't be stacked go apart, and do not wait for each other", async () => {
    const made = bench({ maxRows: 8, maxDelayMs: 50 }, 2);
    made.expected = 1;
    void made.batcher.submit({ id: 1, shape: "a" });
    void made.batcher.submit({ id: 2, shape: "b" });
    void made.batcher.submit({ id: 3, shape: "a" });
    await made.clock.advance(100);
    expect(made.batches).toEqual([[1, 3], [2]]);
    expect(made.events[0]).toMatchObject({ reason: "shape" });
  });

  test("lower priorities go first", async () => {
    const { batcher, clock, batches } = bench({ maxRows: 1 });
    void batcher.submit({ id: 0 });
    await clock.advance(0);
    for (const [id, priority] of [
      [1, 5],
      [2, 1],
      [3, 5],
      [4, 1],
    ] as const)
      void batcher.submit({ id }, { priority });
    await clock.advance(100);
    expect(batches.flat()).toEqual([0, 2, 4, 1, 3]);
  });
});

describe("keeping requests apart", () => {
  test("one that fails takes none of its batch-mates with it", async () => {
    const { batcher, clock, batches } = bench({ maxRows: 4 });
    const answers = [{ id: 1 }, { id: 2, poison: true }, { id: 3 }].map((request) => batcher.submit(request));
    const settled = Promise.allSettled(answers);
    await clock.advance(100);
    expect((await settled).map(codeOf)).toEqual(["ok", "Error: poisoned", "ok"]);
    expect(batches).toEqual([[1, 2, 3], [1], [2], [3]]);
  });

  test("10,000 queued and cancelled: none is computed", async () => {
    const { batcher, clock, batches } = bench({ maxRows: 16 });
    const held = batcher.submit({ id: -1, shape: "held" });
    await clock.advance(0);
    const aborter = new AbortController();
    const queued = Array.from({ length: 10_000 }, (_, id) => batcher.submit({ id }, { caller: callerOf(aborter.signal) }));
    const settled = Promise.allSettled(queued);
    aborter.abort(new ServableError("cancelled", "gone"));
    await clock.advance(100);
    await held;
    expect(new Set((await settled).map(codeOf))).toEqual(new Set(["cancelled"]));
    expect(batches).toEqual([[-1]]);
    expect(batcher.inside).toBe(0);
  });

  test("a signal that outlives its requests keeps nothing of them", async () => {
    const { batcher, clock } = bench({ maxRows: 4 });
    const { signal } = new AbortController();
    const answers = Promise.allSettled([1, 2].map((id) => batcher.submit({ id, poison: id === 2 }, { caller: callerOf(signal) })));
    expect(getEventListeners(signal, "abort")).toHaveLength(2);
    await clock.advance(100);
    expect((await answers).map(codeOf)).toEqual(["ok", "Error: poisoned"]);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("one whose time is over is not computed", async () => {
    const { batcher, clock, batches } = bench({ maxRows: 1 });
    void batcher.submit({ id: 1 });
    await clock.advance(0);
    const late = Promise.allSettled([batcher.submit({ id: 2 }, { deadline: clock.now() + 5 })]);
    await clock.advance(100);
    expect((await late).map(codeOf)).toEqual(["deadline_exceeded"]);
    expect(batches).toEqual([[1]]);
  });

  test("more rows than a batch may have are refused", async () => {
    const { batcher } = bench({ maxRows: 4 });
    await expect(async () => batcher.submit({ id: 1, rows: 5 })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

test("whatever arrives, each gets its own answer once, no batch is too large or mixed, and nothing stays behind", async () => {
  const arrival = fc.record({
    gapMs: fc.integer({ min: 0, max: 15 }),
    rows: fc.integer({ min: 1, max: 4 }),
    shape: fc.constantFrom("a", "b"),
    priority: fc.integer({ min: 0, max: 2 }),
    poison: fc.boolean(),
    cancelAfterMs: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { maxLength: 40 }),
      fc.integer({ min: 4, max: 8 }),
      fc.integer({ min: 0, max: 10 }),
      fc.integer({ min: 1, max: 3 }),
      async (arrivals, maxRows, maxDelayMs, workers) => {
        const made = bench({ maxRows, maxDelayMs }, workers);
        const outcomes: Promise<PromiseSettledResult<string>[]>[] = [];
        for (const [id, { gapMs, rows, shape, priority, poison, cancelAfterMs }] of arrivals.entries()) {
          made.expected = arrivals.length - id - 1;
          const aborter = new AbortController();
          outcomes.push(
            Promise.allSettled([made.batcher.submit({ id, rows, shape, poison }, { priority, caller: callerOf(aborter.signal) })]),
          );
          if (cancelAfterMs !== undefined) made.clock.after(cancelAfterMs, () => aborter.abort(new ServableError("cancelled", "gone")));
          await made.clock.advance(gapMs);
        }
        await made.clock.advance(10_000);
        const codes = (await Promise.all(outcomes)).flat();
        codes.forEach((outcome, id) => {
          const { poison, cancelAfterMs } = arrivals[id] ?? {};
          const allowed = [poison ? "Error: poisoned" : "ok", ...(cancelAfterMs === undefined ? [] : ["cancelled"])];
          expect(allowed).toContain(codeOf(outcome));
          if (outcome.status === "fulfilled") expect(outcome.value).toBe(`out ${id}`);
        });
        for (const batch of made.batches) {
          expect(batch.reduce((sum, id) => sum + (arrivals[id]?.rows ?? 0), 0)).toBeLessThanOrEqual(maxRows);
          expect(new Set(batch.map((id) => arrivals[id]?.shape)).size).toBe(1);
        }
        expect(made.batcher.inside).toBe(0);
      },
    ),
    { numRuns: 150 },
  );
});
