import { describe, expect, test } from "vitest";
import { Gate } from "../../src/engine/gate.ts";
import { WaitEstimate } from "../../src/engine/wait-estimate.ts";

describe("the expected wait", () => {
  test("is what was measured, for each that waits before", () => {
    const estimate = new WaitEstimate(2);
    expect(estimate.waitMs(5)).toBe(0);
    for (const ms of [8, 12, 10, 10, 10, 8, 12, 9, 11]) estimate.observe(ms);
    expect(estimate.waitMs(5)).toBe(0);
    estimate.observe(10);
    expect(estimate.heldMs).toBeCloseTo(10);
    expect(estimate.waitMs(0)).toBeCloseTo(5);
    expect(estimate.waitMs(3)).toBeCloseTo(20);
  });

  test("follows a service that becomes slower, and one that becomes fast again", () => {
    const estimate = new WaitEstimate(1);
    for (let count = 0; count < 100; count += 1) estimate.observe(10);
    for (let count = 0; count < 60; count += 1) estimate.observe(100);
    expect(estimate.heldMs).toBeGreaterThan(90);
    for (let count = 0; count < 100; count += 1) estimate.observe(10);
    expect(estimate.heldMs).toBeLessThan(12);
  });

  test("a busy hour refuses nobody after a quiet one, and what is slow then is measured anew", () => {
    let now = 0;
    const estimate = new WaitEstimate(2, () => now);
    const busy = (heldMs: number, count: number): void => {
      for (let index = 0; index < count; index += 1) {
        now += heldMs / 2;
        estimate.observe(heldMs);
      }
    };
    busy(1_000, 7_200);
    expect(estimate.waitMs(3)).toBeCloseTo(2_000);
    // A pause between two bursts forgets nothing.
    now += 5_000;
    expect(estimate.waitMs(3)).toBeCloseTo(2_000);
    now += 3_600_000;
    expect([estimate.waitMs(3), estimate.answerMs]).toEqual([0, 0]);
    busy(10, 9);
    expect(estimate.waitMs(3)).toBe(0);
    busy(10, 1);
    expect(estimate.heldMs).toBeCloseTo(10);
    expect(estimate.answerMs).toBeCloseTo(10);
  });

  test("what was measured before a pause counts less than what is measured now", () => {
    let now = 0;
    const estimate = new WaitEstimate(1, () => now);
    for (let count = 0; count < 20; count += 1) {
      now += 500;
      estimate.observe(500);
    }
    now += 90_000;
    for (let count = 0; count < 10; count += 1) {
      now += 10;
      estimate.observe(10);
    }
    // By their number alone the old ones would still be worth more than half of it.
    expect(estimate.heldMs).toBeLessThan(60);
  });

  test("of a service whose answers take a minute each it is known while it is busy", () => {
    let now = 0;
    const estimate = new WaitEstimate(1, () => now);
    for (let count = 0; count < 12; count += 1) {
      now += 60_000;
      estimate.observe(60_000);
    }
    now += 59_000;
    expect(estimate.waitMs(0)).toBeCloseTo(60_000);
  });

  test("streams hold slots, and say nothing of how long one answer takes", () => {
    const estimate = new WaitEstimate(1, () => 0);
    for (let count = 0; count < 20; count += 1) estimate.observe(10_000, false);
    expect([estimate.waitMs(0), estimate.answerMs]).toEqual([10_000, 0]);
    for (let count = 0; count < 10; count += 1) estimate.observe(10);
    expect(estimate.answerMs).toBeCloseTo(10);
    expect(estimate.waitMs(0)).toBeGreaterThan(1_000);
  });

  test("is nothing while a slot is free", () => {
    const gate = new Gate(1, 10);
    const since = performance.now() - 50;
    for (let count = 0; count < 11; count += 1) gate.acquire({ start: () => undefined });
    for (let count = 0; count < 10; count += 1) gate.release(since);
    expect(gate.expectedWaitMs).toBeGreaterThanOrEqual(50);
    gate.release(since);
    expect(gate.expectedWaitMs).toBe(0);
  });
});
