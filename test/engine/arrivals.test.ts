import { describe, expect, test } from "vitest";
import { Arrivals } from "../../src/engine/batching/arrivals.ts";
import { CallContext } from "../../src/service/call-context.ts";
import { deferred } from "../support/serving.ts";

interface Bench {
  readonly admission: { free: number; toCome: number };
  readonly arrivals: Arrivals;
  fewer: number;
}

function bench(free: number, toCome = 0): Bench {
  const admission = { free, toCome };
  const made: Bench = { admission, arrivals: new Arrivals(admission), fewer: 0 };
  made.arrivals.onFewer = () => (made.fewer += 1);
  return made;
}

describe("who may still come to the model", () => {
  test("is who holds a slot and was not there yet, and no more when he was", async () => {
    const { arrivals } = bench(10);
    const context = new CallContext();
    const work = deferred();
    const done = arrivals.during(context, () => work.promise);
    expect(arrivals.expected).toBe(1);
    arrivals.came(context);
    expect(arrivals.expected).toBe(0);
    arrivals.ended(context);
    expect(arrivals.expected).toBe(0);
    work.resolve();
    await done;
    expect(arrivals.expected).toBe(0);
  });

  test("is who comes to a slot that is free, or that is free soon, and not who waits for one that is held at the model", async () => {
    const { arrivals, admission } = bench(1, 5);
    expect(arrivals.expected).toBe(1);
    admission.free = 0;
    const contexts = [new CallContext(), new CallContext()];
    const work = deferred();
    const done = contexts.map(async (context) => arrivals.during(context, () => work.promise));
    for (const context of contexts) arrivals.came(context);
    expect(arrivals.expected).toBe(0);
    // Both runs of the first one are done, and what it does with them is all that keeps its slot.
    arrivals.came(contexts[0]);
    arrivals.ended(contexts[0]);
    expect(arrivals.expected).toBe(0);
    arrivals.ended(contexts[0]);
    expect(arrivals.expected).toBe(1);
    work.resolve();
    await Promise.all(done);
    expect(arrivals.expected).toBe(0);
  });

  test("a run that does not say whose it is is of somebody who was expected", async () => {
    const { arrivals } = bench(10);
    const work = deferred();
    const done = arrivals.during(new CallContext(), () => work.promise);
    arrivals.came(undefined);
    expect(arrivals.expected).toBe(0);
    arrivals.ended(undefined);
    work.resolve();
    await done;
    expect(arrivals.expected).toBe(0);
  });

  test("fewer are told of, also where the work fails at once or later", async () => {
    const made = bench(10);
    const failure = new Error("no");
    expect(() =>
      made.arrivals.during(new CallContext(), () => {
        throw failure;
      }),
    ).toThrow(failure);
    expect([made.fewer, made.arrivals.expected]).toEqual([1, 0]);
    const failed = made.arrivals.during(new CallContext(), () => Promise.reject(failure));
    expect(made.arrivals.expected).toBe(1);
    await expect(failed).rejects.toBe(failure);
    expect([made.fewer, made.arrivals.expected]).toEqual([2, 0]);
    expect(made.arrivals.during(new CallContext(), () => 7)).toBe(7);
    expect([made.fewer, made.arrivals.expected]).toEqual([3, 0]);
    made.arrivals.left();
    expect(made.fewer).toBe(4);
  });
});
