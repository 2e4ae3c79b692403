import { describe, expect, test } from "vitest";
import { resolvePolicy } from "../../src/engine/policy.ts";
import { defineService } from "../../src/service/define-service.ts";
import type { ServicePolicy } from "../../src/service/definition.ts";

const withPolicy = (policy: ServicePolicy, model = false) => defineService({ name: "s", policy, model, call: () => 1 });

test("every limit has a finite default", () => {
  expect(resolvePolicy(withPolicy({}))).toEqual({
    placement: "inline",
    placementAsked: false,
    workers: 1,
    concurrency: 64,
    queue: 256,
    deadlineMs: 30_000,
    killAfterMs: 5_000,
    stageWorkers: 0,
    devices: [],
    batching: { maxRows: 1, maxDelayMs: 0, waitAlone: false, preferredRows: new Set() },
    maxBodyBytes: 16 * 1024 * 1024,
  });
});

test("a service with a model goes to a thread, unless it asks for another place", () => {
  expect(resolvePolicy(withPolicy({}, true))).toMatchObject({ placement: "thread", placementAsked: false });
  expect(resolvePolicy(withPolicy({ placement: "inline" }, true))).toMatchObject({ placement: "inline", placementAsked: true });
});

test("what is asked from outside wins, an explicit undefined does not", () => {
  const definition = withPolicy({ concurrency: 3, queue: 4 });
  expect(resolvePolicy(definition, { concurrency: 9, queue: undefined })).toMatchObject({ concurrency: 9, queue: 4 });
});

describe("what is no limit", () => {
  test.each([
    ["concurrency", 0],
    ["concurrency", 1.5],
    ["workers", -1],
    ["queue", -1],
    ["deadlineMs", 0],
    ["deadlineMs", NaN],
    ["deadlineMs", Infinity],
    ["maxBodyBytes", 2 ** 53],
  ])("%s: %s is refused by name", (name, value) => {
    expect(() => resolvePolicy(withPolicy({ [name]: value }))).toThrow(
      expect.objectContaining({
        code: "invalid_config",
        message: expect.stringContaining(`'s': ${name} must be a whole number`) as string,
      }),
    );
  });

  test("a placement that does not exist", () => {
    // @ts-expect-error -- what a JavaScript user may write
    expect(() => resolvePolicy(withPolicy({ placement: "gpu" }))).toThrow(/placement must be "inline", "thread" or "process", not "gpu"/);
  });

  test("a queue of 0 is one", () => {
    expect(resolvePolicy(withPolicy({ queue: 0 })).queue).toBe(0);
  });
});
