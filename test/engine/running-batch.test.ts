import { describe, expect, test } from "vitest";
import { resolveBatchPolicy } from "../../src/engine/batching/batch-policy.ts";
import { DynamicBatcher, type BatchEvent, type RunningBatch } from "../../src/engine/batching/dynamic-batcher.ts";
import { callerOf } from "../../src/engine/batching/caller.ts";
import { FakeClock } from "../support/fake-clock.ts";

test("a batch hears when nobody waits for any of it any more, and not before", async () => {
  const clock = new FakeClock();
  const batches: RunningBatch[] = [];
  let givenUp = 0;
  const batcher = new DynamicBatcher<number, number>({
    policy: resolveBatchPolicy({ maxRows: 3 }),
    clock,
    rowsOf: () => 1,
    keyOf: () => "",
    idle: () => 1 - batches.length,
    expected: () => 0,
    run(_inputs, batch) {
      batch.onGivenUp = () => (givenUp += 1);
      batches.push(batch);
      return new Promise(() => undefined);
    },
  });
  const aborters = Array.from({ length: 5 }, () => new AbortController());
  const codes = aborters.map((aborter, id) => batcher.submit(id, { caller: callerOf(aborter.signal) }).catch((reason: unknown) => reason));
  await clock.advance(1);
  expect(batches).toHaveLength(1);
  // Two still wait for the next batch; one of them leaves.
  for (const index of [3, 0, 2]) aborters[index]?.abort("left");
  expect(givenUp).toBe(0);
  aborters[1]?.abort("left");
  expect(givenUp).toBe(1);
  expect(await Promise.all(codes.slice(0, 4))).toEqual(["left", "left", "left", "left"]);
});

/** One worker, and batches that end as the test says. */
function bench(maxRows: number) {
  const clock = new FakeClock();
  const batches: { readonly inputs: readonly number[]; readonly batch: RunningBatch; readonly end: (failed?: Error) => void }[] = [];
  let busy = 0;
  const events: BatchEvent[] = [];
  const batcher = new DynamicBatcher<number, number>({
    policy: resolveBatchPolicy({ maxRows }),
    clock,
    rowsOf: () => 1,
    keyOf: () => "",
    idle: () => 1 - busy,
    expected: () => 0,
    onBatch: (event) => events.push(event),
    run(inputs, batch) {
      busy += 1;
      return new Promise((resolve, reject) => {
        batches.push({
          inputs,
          batch,
          end: (failed) => {
            if (failed !== undefined) reject(failed);
            else resolve(inputs);
          },
        });
      });
    },
  });
  return { clock, batches, batcher, events, free: (): void => void (busy -= 1) };
}

test("what happens to a request after its batch has failed is not the batch's business", async () => {
  const { clock, batches, batcher } = bench(3);
  const aborters = Array.from({ length: 3 }, () => new AbortController());
  const settled = Promise.allSettled(aborters.map((aborter, id) => batcher.submit(id, { caller: callerOf(aborter.signal) })));
  await clock.advance(1);
  let givenUp = 0;
  const [first] = batches;
  first!.batch.onGivenUp = () => (givenUp += 1);
  // The worker is still busy with something when they wait to run again, each alone.
  first!.end(new Error("no"));
  await clock.advance(1);
  for (const aborter of aborters) aborter.abort("left");
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  // Whoever runs a process would have had it killed for that.
  expect(givenUp).toBe(0);
  expect(batches).toHaveLength(1);
});

describe("a batch that took its time to be put together", () => {
  test("is not wanted when all have left, and is no batch that was run", async () => {
    const { clock, batches, batcher, events, free } = bench(2);
    const aborters = Array.from({ length: 2 }, () => new AbortController());
    const settled = Promise.allSettled(aborters.map((aborter, id) => batcher.submit(id, { caller: callerOf(aborter.signal) })));
    await clock.advance(1);
    const [{ batch, end }] = batches as [(typeof batches)[number]];
    aborters[0]?.abort("left");
    batch.checkWanted();
    aborters[1]?.abort("left");
    let thrown: unknown;
    try {
      batch.checkWanted();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: "cancelled" });
    free();
    end(thrown as Error);
    await clock.advance(1);
    expect((await settled).map((result) => (result as PromiseRejectedResult).reason as unknown)).toEqual(["left", "left"]);
    expect([batches.length, events.length, batcher.inside]).toEqual([1, 0, 0]);
  });

  test("is not wanted when all are late, and they are told so", async () => {
    const { clock, batches, batcher, events, free } = bench(2);
    const settled = Promise.allSettled([5, 8].map((deadline, id) => batcher.submit(id, { deadline })));
    await clock.advance(6);
    const [{ batch, end }] = batches as [(typeof batches)[number]];
    batch.checkWanted();
    await clock.advance(2);
    expect(() => {
      batch.checkWanted();
    }).toThrow(expect.objectContaining({ code: "deadline_exceeded" }));
    free();
    end(new Error("not wanted"));
    await clock.advance(1);
    expect((await settled).map((result) => (result as PromiseRejectedResult).reason as unknown)).toEqual(
      Array.from({ length: 2 }, () => expect.objectContaining({ code: "deadline_exceeded" }) as unknown),
    );
    expect([batches.length, events.length, batcher.inside]).toEqual([1, 0, 0]);
  });
});

test("priorities that come and go leave nothing behind", { timeout: 8_000 }, () => {
  const { batcher } = bench(1);
  // With a level for each that was ever there, each new one would cost all of them, and this would take minutes.
  for (let priority = 1; priority <= 30_000; priority += 1) {
    const aborter = new AbortController();
    batcher.submit(priority, { priority, caller: callerOf(aborter.signal) }).catch(() => undefined);
    aborter.abort("left");
  }
  expect(batcher.waiting).toBe(0);
});
