import { ServableError, defineService } from "servable";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { deferred, problemOf, serve, until, type Serving } from "../../support/serving.ts";

const running = { now: 0, most: 0, started: [] as unknown[] };
let gate = deferred();
const services = [
  defineService({
    name: "double",
    input: z.object({ x: z.number() }),
    output: z.object({ y: z.number() }),
    async call({ x }) {
      // The later, the sooner: answers come in the order of the list all the same.
      await new Promise((resolve) => setTimeout(resolve, x < 10 ? 10 - x : 0));
      if (x === 13) throw new Error("secret");
      if (x === 404) throw new ServableError("not_found", "No such x.");
      return { y: 2 * x };
    },
  }),
  defineService({
    name: "narrow",
    policy: { concurrency: 3, queue: 0 },
    async call(value) {
      running.now += 1;
      running.most = Math.max(running.most, running.now);
      running.started.push(value);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running.now -= 1;
      return value;
    },
  }),
  defineService({
    name: "single",
    policy: { concurrency: 1, queue: 0 },
    async call(value, { signal }) {
      running.started.push(value);
      if (value === "hold") await gate.promise;
      if (value === "abort") {
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
        running.started.push("aborted");
      }
      return value;
    },
  }),
  defineService({
    name: "short",
    policy: { deadlineMs: 60 },
    async call(value, { signal }) {
      if (value === "hold") {
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
      }
      return value;
    },
  }),
  defineService({
    name: "count",
    async *call(n) {
      for (let i = 0; i < Number(n); i += 1) yield i;
      if (n === 2) throw new Error("x");
    },
  }),
  defineService({ name: "text", response: { mediaTypes: ["text/plain"], serialize: String }, call: () => "x" }),
];

let server: Serving;
beforeAll(async () => {
  server = await serve(services);
});
afterAll(() => server.runtime.stop());
beforeEach(() => {
  Object.assign(running, { now: 0, most: 0, started: [] });
  gate = deferred();
});

type Item = { output?: unknown; error?: Record<string, unknown> };
const batch = async (path: string, list: unknown[], headers?: Record<string, string>): Promise<Item[]> => {
  const response = await server.post(`${path}/batch`, JSON.stringify(list), headers);
  expect(response.status).toBe(200);
  return (await response.json()) as Item[];
};

describe("a list", () => {
  test("is answered in its order", async () => {
    const list = Array.from({ length: 30 }, (_, x) => ({ x: x === 13 ? 0 : x }));
    expect(await batch("/double", list)).toEqual(list.map(({ x }) => ({ output: { y: 2 * x } })));
  });

  test("one bad item fails alone, with an id and a problem of its own", async () => {
    const answers = await batch("/double", [{ x: 1 }, { x: "2" }, { x: 13 }, { x: 404 }, null, { x: 5 }], { "x-request-id": "list-1" });
    expect(answers.map(({ output }) => output)).toEqual([{ y: 2 }, undefined, undefined, undefined, undefined, { y: 10 }]);
    expect(answers[1]?.error).toMatchObject({ code: "invalid_request", status: 400, requestId: "list-1/1", errors: [{ path: "x" }] });
    expect(answers[2]?.error).toMatchObject({ code: "service_failed", status: 500, requestId: "list-1/2" });
    expect(answers[3]?.error).toMatchObject({ code: "not_found", detail: "No such x." });
    expect(answers[4]?.error).toMatchObject({ code: "invalid_request", errors: [{ path: "(the value)" }] });
    expect(JSON.stringify(answers)).not.toContain("secret");
  });

  test("of none is answered with none", async () => {
    expect(await batch("/double", [])).toEqual([]);
  });

  test("of 10,000 is taken, of one more not", async () => {
    const list = Array.from({ length: 10_001 }, (_, x) => x);
    expect(await batch("/count", list.slice(1).fill(0))).toHaveLength(10_000);
    const problem = await problemOf(await server.post("/count/batch", JSON.stringify(list)), 413, "payload_too_large");
    expect(problem.maxItems).toBe(10_000);
  });

  test.each(["{}", "1", "null", '"[]"'])("%s is none", async (body) => {
    expect((await problemOf(await server.post("/double/batch", body), 400, "invalid_request")).detail).toBe(
      "A batch is a JSON list of inputs.",
    );
  });

  test("that is not JSON, empty, of another type, or too large", async () => {
    await problemOf(await server.post("/double/batch", "[1,"), 400, "invalid_request");
    await problemOf(await server.post("/double/batch", ""), 400, "invalid_request");
    const problem = await problemOf(
      await server.post("/double/batch", "[]", { "content-type": "text/csv" }),
      415,
      "unsupported_media_type",
    );
    expect(problem.accepted).toEqual(["application/json"]);
    await problemOf(await server.post("/double/batch", " ".repeat(16 * 1024 * 1024 + 1)), 413, "payload_too_large");
  });

  test("has no route where the service does not speak JSON", async () => {
    await problemOf(await server.post("/text/batch", "[]"), 404, "not_found");
  });

  test("each item's stream is a list, and one that fails is an error", async () => {
    expect(await batch("/count", [0, 3, 2])).toEqual([
      { output: [] },
      { output: [0, 1, 2] },
      { error: expect.objectContaining({ code: "service_failed" }) as unknown },
    ]);
  });

  test("has one event for each item", async () => {
    const before = server.events.length;
    await batch("/double", [{ x: 1 }, { x: "2" }], { "x-request-id": "ev" });
    expect(
      server.events
        .slice(before)
        .map(({ requestId, outcome }) => [requestId, outcome])
        .sort(),
    ).toEqual([
      ["ev/0", "ok"],
      ["ev/1", "invalid_request"],
    ]);
  });
});

describe("limits", () => {
  test("at most as many items at once as the service runs, and none refused for the list's own sake", async () => {
    const list = Array.from({ length: 40 }, (_, index) => index);
    expect(await batch("/narrow", list)).toEqual(list.map((output) => ({ output })));
    expect(running.most).toBeGreaterThan(1);
    expect(running.most).toBeLessThanOrEqual(3);
  });

  test("a service that takes one request at a time takes a list of them", async () => {
    expect(await batch("/single", [1, 2, 3])).toEqual([{ output: 1 }, { output: 2 }, { output: 3 }]);
    expect(running.started).toEqual([1, 2, 3]);
  });

  test("a list is refused as a whole where there is no place", async () => {
    const held = server.post("/single", '"hold"');
    await until(() => running.started.length === 1, "the call");
    const response = await server.post("/single/batch", "[1]");
    expect(response.headers.get("retry-after")).toBe("1");
    await problemOf(response, 503, "overloaded");
    gate.resolve();
    await held;
    expect(await batch("/single", [1])).toEqual([{ output: 1 }]);
  });

  test("and takes the place of others while it is in hand", async () => {
    const list = batch("/single", ["hold", 2]);
    await until(() => running.started.length === 1, "the item");
    await problemOf(await server.post("/single", "1"), 503, "overloaded");
    gate.resolve();
    expect(await list).toEqual([{ output: "hold" }, { output: 2 }]);
    await until(() => server.runtime.status?.services.single?.inFlight === 0, "the place");
  });

  test("the deadline is that of the whole list", async () => {
    const answers = await batch("/short", ["a", "hold"]);
    expect(answers).toMatchObject([{ output: "a" }, { error: { code: "deadline_exceeded" } }]);
    const before = server.events.length;
    const few = await batch("/single", ["abort", "abort"], { "x-timeout-ms": "300" });
    expect(few).toMatchObject([{ error: { code: "deadline_exceeded" } }, { error: { code: "deadline_exceeded" } }]);
    const [first, second] = server.events.slice(before);
    expect(first?.totalMs).toBeGreaterThan(250);
    expect(second?.totalMs).toBeLessThan(250);
  });

  test("a client that leaves ends the item in hand, and the rest never runs", async () => {
    const leaver = new AbortController();
    const left = server.post("/single/batch", '["abort", 2, 3]', {}, leaver.signal).catch(() => "left");
    await until(() => running.started.length === 1, "the first item");
    leaver.abort();
    expect(await left).toBe("left");
    await until(() => server.runtime.status?.services.single?.inFlight === 0, "the places");
    expect(running.started).toEqual(["abort", "aborted"]);
  });
});
