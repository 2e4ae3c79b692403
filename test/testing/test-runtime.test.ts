import { ServableError, Service, defineService, streamOf } from "servable";
import type { RequestEvent } from "servable/http";
import { callService, createTestRuntime } from "servable/testing";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { problemOf } from "../support/serving.ts";

const double = defineService({
  name: "double",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  call: ({ x }) => ({ y: 2 * x }),
});
const count = defineService({
  name: "count",
  input: z.number(),
  output: z.number(),
  async *call(to) {
    for (let n = 0; n < to; n += 1) yield n;
  },
});
const total = defineService({
  name: "total",
  input: streamOf(z.number()),
  output: z.number(),
  async call(items) {
    let sum = 0;
    for await (const item of items) sum += item;
    return sum;
  },
});
class Shout extends Service<string, string> {
  static readonly definition = { name: "shout" } as const;
  override call(text: string): string {
    return text.toUpperCase();
  }
}

describe("callService", () => {
  test("goes through handlers and schemas, with no socket", async () => {
    expect(await callService(double, { x: 4 })).toEqual({ y: 8 });
    // @ts-expect-error -- x must be a number
    await expect(callService(double, { x: "4" })).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: ["x"] }] });
  });

  test("gives a stream as a list, and takes one", async () => {
    const list: number[] = await callService(count, 3);
    expect(list).toEqual([0, 1, 2]);
    expect(await callService(total, ReadableStream.from([1, 2, 3]) as unknown as AsyncIterable<number>)).toBe(6);
  });

  test("fails as a client would see it", async () => {
    const fail = defineService({ name: "fail", call: () => Promise.reject(new Error("secret")) });
    const error: unknown = await callService(fail, 1).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "service_failed" });
    expect((error as Error).message).not.toContain("secret");
  });

  test("sets up, and closes, each time", async () => {
    const steps: string[] = [];
    const service = defineService({
      name: "steps",
      setup: () => void steps.push("setup"),
      call: () => 1,
      close: () => void steps.push("close"),
    });
    await callService(service, 1);
    await expect(callService(service, 1, { signal: AbortSignal.abort() })).rejects.toBeDefined();
    expect(steps.slice(0, 2)).toEqual(["setup", "close"]);
    expect(steps.length % 2).toBe(0);
  });
});

describe("a test runtime", () => {
  test("has a typed client of one service, a class, or a module's", async () => {
    const module = { double, count, Shout, notAService: 42 };
    const runtime = createTestRuntime(module);
    const answer: { y: number } = await runtime.client.double({ x: 1 });
    expect(answer).toEqual({ y: 2 });
    expect(await runtime.client.shout("a")).toBe("A");
    const items: number[] = [];
    for await (const item of runtime.client.count(2)) items.push(item);
    expect(items).toEqual([0, 1]);
    await runtime.stop();
    await runtime.stopped;

    const one = createTestRuntime(Shout);
    expect(await one.client.shout("b")).toBe("B");
    await one.stop();
  });

  test("keeps limits, its own over the service's, and runs inline whatever the service says", async () => {
    const threaded = defineService({
      name: "threaded",
      policy: { placement: "thread", deadlineMs: 60_000 },
      call: (_value, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    });
    const events: RequestEvent[] = [];
    const runtime = createTestRuntime(threaded, {
      policy: { deadlineMs: 30 },
      observers: [{ requestFinished: (event) => void events.push(event) }],
    });
    await expect(runtime.client.threaded(1)).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(events).toMatchObject([{ service: "threaded", outcome: "deadline_exceeded" }]);
    await runtime.stop();
  });

  test("answers plain requests", async () => {
    const runtime = createTestRuntime({ double });
    const response = await runtime.fetch(
      new Request("http://any.test/double", { method: "POST", body: "{", headers: { "content-type": "application/json" } }),
    );
    await problemOf(response, 400, "invalid_request");
    await runtime.stop();
  });

  test("does not start what can't be set up", async () => {
    const bad = defineService({
      name: "bad",
      setup: () => Promise.reject(new ServableError("missing_dependency", "Install it.")),
      call: () => 1,
    });
    const runtime = createTestRuntime(bad);
    await expect(runtime.start()).rejects.toMatchObject({
      code: "missing_dependency",
      message: "Service 'bad' could not be set up: Install it.",
    });
    await runtime.stop();
  });
});
