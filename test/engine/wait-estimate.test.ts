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
