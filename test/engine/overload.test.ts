import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import { type ServableError } from "../../src/errors.ts";
import { defineService } from "../../src/service/define-service.ts";
import { keepLog } from "../support/serving.ts";

const body = new TextEncoder().encode("1");
const request = { contentType: "application/json", body };

test("ten times as much as it can do: what could not be answered in time is refused at once, and never computed", async () => {
  let computed = 0;
  const busy = defineService({
    name: "busy",
    policy: { concurrency: 1, queue: 10_000, deadlineMs: 100 },
    async call(x) {
      computed += 1;
      await pause(5);
      return x;
    },
  });
  const engine = new Engine({ services: [busy], log: keepLog() });
  await engine.start();
  // Ten are measured before anything is refused for what was.
  for (let index = 0; index < 10; index += 1) await engine.admit("busy").run(request);
  computed = 0;
  const outcomes = new Map<string, number>();
  const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  const refusals: ServableError[] = [];
  const running: Promise<void>[] = [];
  let longestQueue = 0;
  for (let tick = 0; tick < 150; tick += 1) {
    for (let index = 0; index < 10; index += 1) {
      try {
        const execution = engine.admit("busy");
        running.push(
          execution.run(request).then(
            () => {
              count("ok");
            },
            (error: unknown) => {
              count((error as ServableError).code);
            },
          ),
        );
      } catch (thrown) {
        refusals.push(thrown as ServableError);
      }
    }
    longestQueue = Math.max(longestQueue, engine.status().services.busy!.queued);
    await pause(5);
  }
  await Promise.all(running);
  await engine.stop(1_000);
  const [ok = 0, late = 0] = [outcomes.get("ok"), outcomes.get("deadline_exceeded")];
  expect(ok + late + refusals.length).toBe(1_500);
  expect(refusals.length).toBeGreaterThan(750);
  // 100 ms are room for 20 of 5 ms.
  expect(longestQueue).toBeLessThanOrEqual(20);
  expect(computed).toBeLessThanOrEqual(ok + late);
  expect(computed).toBeGreaterThanOrEqual(ok);
  const [last] = refusals.slice(-1);
  expect(last?.code).toBe("overloaded");
  expect(last?.message).toMatch(/would wait about \d+ ms for its turn and then take \d+ ms, and has only 100 ms/);
  expect(last?.retryAfterMs).toBeGreaterThan(0);
});

test("a request with more time is still taken where one with less is refused", async () => {
  const slow = defineService({
    name: "slow",
    policy: { concurrency: 1, queue: 100, deadlineMs: 10_000 },
    call: async (x) => {
      await pause(20);
      return x;
    },
  });
  const engine = new Engine({ services: [slow], log: keepLog() });
  await engine.start();
  for (let count = 0; count < 5; count += 1) await Promise.all([1, 2].map(() => engine.admit("slow").run(request)));
  const results = [1, 2, 3].map(() => engine.admit("slow").run(request));
  await results[0];
  expect(() => engine.admit("slow", { timeoutMs: 25 })).toThrow(expect.objectContaining({ code: "overloaded" }));
  const patient = engine.admit("slow", { timeoutMs: 5_000 }).run(request);
  await Promise.all([...results, patient]);
  expect(await engine.stop(1_000)).toBe(true);
});

test("one answer is not refused for the streams that others read for long", async () => {
  const mixed = defineService({
    name: "mixed",
    policy: { concurrency: 10, queue: 100, deadlineMs: 10_000 },
    async *call(items) {
      for (let item = 0; item < (items as number); item += 1) {
        await pause(30);
        yield item;
      }
    },
  });
  const engine = new Engine({ services: [mixed], log: keepLog() });
  await engine.start();
  const stream = async (items: number): Promise<void> => {
    const response = await engine.admit("mixed").run({ ...request, body: new TextEncoder().encode(String(items)) });
    if (response.kind === "stream") for await (const item of response.items) expect(item).toBeDefined();
  };
  // It is measured while every slot is taken.
  await Promise.all(Array.from({ length: 24 }, () => stream(20)));
  const busy = Array.from({ length: 10 }, () => stream(20));
  const { expectedWaitMs } = engine.status().services.mixed!;
  // A tenth of what a stream takes.
  expect(expectedWaitMs).toBeGreaterThan(50);
  expect(expectedWaitMs).toBeLessThan(200);
  const admitted = engine.admit("mixed", { timeoutMs: 400 });
  admitted.cancel();
  await Promise.all(busy);
  await engine.stop(1_000);
});

test("what is refused leaves nothing in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const busy = defineService({
    name: "busy",
    policy: { concurrency: 1, queue: 10, deadlineMs: 60_000 },
    call: async (x) => {
      await pause(1);
      return x;
    },
  });
  const engine = new Engine({ services: [busy], log: keepLog() });
  await engine.start();
  const flood = async (rounds: number): Promise<number> => {
    let refused = 0;
    for (let round = 0; round < rounds; round += 1) {
      const taken: Promise<unknown>[] = [];
      for (let index = 0; index < 1_000; index += 1) {
        try {
          taken.push(engine.admit("busy").run(request));
        } catch (thrown) {
          expect((thrown as ServableError).code).toBe("overloaded");
          refused += 1;
        }
      }
      await Promise.all(taken);
    }
    collect();
    return refused;
  };
  await flood(5);
  const before = process.memoryUsage().heapUsed;
  const refused = await flood(50);
  const grownBytes = process.memoryUsage().heapUsed - before;
  await engine.stop(1_000);
  expect(refused).toBeGreaterThan(45_000);
  // A hundred bytes each would be 5 MB.
  expect(grownBytes).toBeLessThan(2_000_000);
});
