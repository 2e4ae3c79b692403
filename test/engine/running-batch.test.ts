import { expect, test } from "vitest";
import { resolveBatchPolicy } from "../../src/engine/batching/batch-policy.ts";
import { DynamicBatcher, type RunningBatch } from "../../src/engine/batching/dynamic-batcher.ts";
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
