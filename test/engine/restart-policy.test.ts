import { describe, expect, test } from "vitest";
import { RestartPolicy } from "../../src/engine/placement/restart-policy.ts";

const again = (delayMs: number) => ({ restart: true, delayMs });
const never = { restart: false };

describe("a worker that crashed", () => {
  test("starts at once if it had finished a request, however often", () => {
    const policy = new RestartPolicy();
    for (let now = 0; now < 100; now += 1) expect(policy.decide(true, now)).toEqual(again(0));
  });

  test("waits longer each time it died before finishing one, and gives up at the fifth in 60 s", () => {
    const policy = new RestartPolicy();
    expect([0, 1, 2, 3, 4].map((second) => policy.decide(false, second * 1000))).toEqual([
      again(100),
      again(200),
      again(400),
      again(800),
      never,
    ]);
  });

  test("is forgiven deaths of more than 60 s ago", () => {
    const policy = new RestartPolicy();
    for (const now of [0, 1, 2, 3]) expect(policy.decide(false, now)).toMatchObject({ restart: true });
    expect(policy.decide(false, 60_001)).toEqual(again(400));
    expect(policy.decide(false, 120_100)).toEqual(again(100));
  });

  test("59.999 s is still within the window", () => {
    const policy = new RestartPolicy();
    for (const now of [0, 1, 2, 3]) policy.decide(false, now);
    expect(policy.decide(false, 59_999)).toEqual(never);
  });

  test("starts afresh after a finished request", () => {
    const policy = new RestartPolicy();
    for (const now of [0, 1, 2, 3]) policy.decide(false, now);
    expect(policy.decide(true, 4)).toEqual(again(0));
    expect(policy.decide(false, 5)).toEqual(again(100));
  });
});
