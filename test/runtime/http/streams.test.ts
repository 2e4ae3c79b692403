import { type ServableError, defineService, streamOf, type ResponseHandler } from "servable";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { deferred, expectNoLeak, openRaw, problemOf, serve, until, type Serving } from "../../support/serving.ts";

let made = 0;
const log: string[] = [];
const prettyJson: ResponseHandler = {
  mediaTypes: ["application/json"],
  serialize: (value) => JSON.stringify(value, null, 2).replaceAll("\n", "\r\n"),
};

const services = [
  defineService({
    name: "count",
    input: z.object({ to: z.number(), fail: z.boolean().default(false) }),
    output: z.object({ n: z.number() }),
    async *call({ to, fail }) {
      for (let n = 0; n < to; n += 1) yield { n };
      if (fail) throw new Error("secret of /work/x.ts:1");
    },
  }),
  defineService({
    name: "endless",
    async *call(_value, { signal }) {
      try {
        for (;;) {
          made += 1;
          yield await Promise.resolve("x".repeat(10_000));
        }
      } finally {
        log.push(`ended ${signal.aborted ? "aborted" : "not aborted"}`);
      }
    },
  }),
  defineService({
    name: "stall",
    policy: { deadlineMs: 80 },
    async *call(first, { signal }) {
      if (first === "item") yield 1;
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          log.push(`aborted ${(signal.reason as ServableError).code}`);
          reject(signal.reason as Error);
        });
      });
    },
  }),
  defineService({
    name: "patient",
    async *call(_value, { signal }) {
      yield "begun";
      log.push("waiting");
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          log.push(`aborted ${(signal.reason as ServableError).code}`);
          resolve();
        });
      });
    },
  }),
  defineService({
    name: "wrong-item",
    output: z.number(),
    call: async function* () {
      yield 1;
      yield "2" as never;
    },
  }),
  defineService({
    name: "pretty",
    response: prettyJson,
    async *call() {
      yield { a: [1], text: "line\nbreak" };
      yield 2;
    },
  }),
  defineService({
    name: "late-stream",
    call: (n): unknown =>
      n === 0
        ? "value"
        : (async function* () {
            yield n;
          })(),
  }),
  defineService({
    name: "bytes",
    response: { mediaTypes: ["audio/wav"], serialize: (value: string) => new TextEncoder().encode(value) },
    async *call() {
      yield "ab";
      yield "";
      yield "cd";
    },
  }),
  defineService({
    name: "total",
    input: streamOf(z.object({ x: z.number() })),
    output: z.object({ sum: z.number() }),
    async call(items) {
      let sum = 0;
      for await (const { x } of items) sum += x;
      return { sum };
    },
  }),
  defineService({
    name: "first",
    input: streamOf(z.number()),
    async call(items) {
      for await (const item of items) return item;
      return null;
    },
  }),
  defineService({ name: "ignore", input: streamOf(z.number()), call: () => "no item read" }),
  defineService({
    name: "double-all",
    input: streamOf(z.number()),
    async *call(items) {
      for await (const item of items) yield 2 * item;
    },
  }),
];

let server: Serving;
beforeAll(async () => {
  server = await serve(services);
});
afterAll(() => server.runtime.stop());
beforeEach(() => {
  log.length = 0;
  made = 0;
});

const accept = (type: string) => ({ "content-type": "application/json", accept: type });
const quiet = (name: string): Promise<void> => until(() => server.runtime.status?.services[name]?.inFlight === 0, `${name} to end`);

describe("as newline-delimited JSON", () => {
  test.each([undefined, "*/*", "application/x-ndjson", "application/x-ndjson, text/event-stream;q=0.5"])("accept: %s", async (type) => {
    const response = await server.post("/count", '{"to":3}', type === undefined ? undefined : accept(type));
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    expect(response.headers.get("x-request-id")).not.toBeNull();
    expect(await response.text()).toBe('{"n":0}\n{"n":1}\n{"n":2}\n');
    await quiet("count");
    expect(server.events.at(-1)).toMatchObject({ outcome: "ok", items: 3 });
  });

  test("nothing at all", async () => {
    expect(await (await server.post("/count", '{"to":0}')).text()).toBe("");
  });

  test("a failure in the middle is the last line, and the connection is cut", async () => {
    const response = await server.post("/count", '{"to":2,"fail":true}', accept("application/x-ndjson"));
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let cut = false;
    for (;;) {
      const next = await reader.read().catch(() => undefined);
      if (next === undefined) cut = true;
      if (next === undefined || next.done) break;
      text += next.value;
    }
    const lines = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.slice(0, 2)).toEqual([{ n: 0 }, { n: 1 }]);
    expect(lines[2]).toMatchObject({ error: { code: "service_failed", status: 500, requestId: response.headers.get("x-request-id") } });
    expect(lines).toHaveLength(3);
    expect(cut).toBe(true);
    expectNoLeak(text);
    expect(server.events.at(-1)).toMatchObject({ outcome: "service_failed", items: 2 });
  });

  test("an item stays one line, however its handler writes it", async () => {
    const text = await (await server.post("/pretty")).text();
    expect(
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([{ a: [1], text: "line\nbreak" }, 2]);
  });
});

describe("as server-sent events", () => {
  const events = (text: string): { event: string; data: string }[] =>
    text
      .split("\n\n")
      .filter((block) => block !== "")
      .map((block) => {
        const lines = block.split("\n");
        const field = (name: string): string[] =>
          lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
        expect(
          lines.every((line) => /^(event|data):/.test(line)),
          block,
        ).toBe(true);
        return { event: field("event")[0] ?? "message", data: field("data").join("\n") };
      });

  test("each item is one, and the end is told", async () => {
    const response = await server.post("/count", '{"to":2}', accept("text/event-stream"));
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(events(await response.text())).toEqual([
      { event: "message", data: '{"n":0}' },
      { event: "message", data: '{"n":1}' },
      { event: "end", data: "" },
    ]);
  });

  test("a failure in the middle is the last one", async () => {
    const response = await server.post("/count", '{"to":1,"fail":true}', accept("text/event-stream"));
    const [first, second, ...more] = events(await response.text());
    expect(first).toEqual({ event: "message", data: '{"n":0}' });
    expect(second?.event).toBe("error");
    expect(JSON.parse(second?.data ?? "")).toMatchObject({ code: "service_failed", requestId: response.headers.get("x-request-id") });
    expect(more).toEqual([]);
  });

  test("an item that its schema refuses", async () => {
    const [, second] = events(await (await server.post("/wrong-item", "null", accept("text/event-stream"))).text());
    expect(JSON.parse(second?.data ?? "")).toMatchObject({ code: "invalid_output" });
  });

  test("an item with line breaks stays one event", async () => {
    const [first, second] = events(await (await server.post("/pretty", "null", accept("text/event-stream"))).text());
    expect([first, second].map((event) => JSON.parse(event?.data ?? "") as unknown)).toEqual([{ a: [1], text: "line\nbreak" }, 2]);
  });

  test("a single value is framed, too, for a client that takes nothing else", async () => {
    expect(events(await (await server.post("/late-stream", "0", accept("text/event-stream"))).text())).toEqual([
      { event: "message", data: '"value"' },
      { event: "end", data: "" },
    ]);
  });
});

describe("a client that takes no stream", () => {
  test("is told before anything runs, where the definition shows that there will be one", async () => {
    const problem = await problemOf(await server.post("/endless", "null", accept("application/json")), 406, "not_acceptable");
    expect(problem.available).toEqual(["application/x-ndjson", "text/event-stream"]);
    expect(made).toBe(0);
  });

  test("is told after the call, where only that shows it", async () => {
    await problemOf(await server.post("/late-stream", "1", accept("application/json")), 406, "not_acceptable");
    expect(await (await server.post("/late-stream", "0", accept("application/json"))).json()).toBe("value");
    await quiet("late-stream");
  });
});

test("bytes go out as they are", async () => {
  const response = await server.post("/bytes");
  expect(response.headers.get("content-type")).toBe("audio/wav");
  expect(await response.text()).toBe("abcd");
});

describe("back-pressure", () => {
  test("what the reader does not take is not made, and leaving ends it", async () => {
    const connection = await openRaw(server.port);
    connection.socket.pause();
    connection.write("POST /endless HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nnull");
    let last = -1;
    await until(() => {
      const still = made > 0 && made === last;
      last = made;
      return still;
    }, "the generator to rest");
    // The socket buffers of both sides hold some megabytes; what an unread stream would make is without end.
    expect(made).toBeLessThan(5_000);
    connection.socket.destroy();
    await until(() => log.length === 1, "the generator's end");
    expect(log).toEqual(["ended aborted"]);
    await quiet("endless");
    expect(server.events.at(-1)).toMatchObject({ service: "endless", outcome: "cancelled" });
  });

  test("a client that leaves while it waits for an item aborts the signal", async () => {
    const leaver = new AbortController();
    const response = await server.post("/patient", "null", undefined, leaver.signal);
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('"begun"\n');
    await until(() => log.includes("waiting"), "the next item to be asked for");
    leaver.abort();
    await until(() => log.length === 2, "the abort");
    expect(log).toEqual(["waiting", "aborted cancelled"]);
    await quiet("patient");
  });
});

describe("deadline", () => {
  test.each(["none", "item"])("no item in time (after %s)", async (first) => {
    const response = await server.post("/stall", JSON.stringify(first), accept("text/event-stream"));
    const text = await response.text();
    expect(text).toContain('"code":"deadline_exceeded"');
    expect(text.startsWith("data: 1\n\n")).toBe(first === "item");
    expect(log).toEqual(["aborted deadline_exceeded"]);
    await quiet("stall");
  });
});

describe("a stream as input", () => {
  const ndjson = { "content-type": "application/x-ndjson" };

  test("items arrive as they are sent", async () => {
    const { promise, resolve } = deferred<ReadableStreamDefaultController>();
    const body = new ReadableStream({ start: resolve });
    const responding = server.post("/double-all", body, ndjson);
    const controller = await promise;
    controller.enqueue(new TextEncoder().encode("1\n"));
    const response = await responding;
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe("2\n");
    controller.enqueue(new TextEncoder().encode("2"));
    controller.enqueue(new TextEncoder().encode("1\n\n"));
    expect((await reader.read()).value).toBe("42\n");
    controller.close();
    expect((await reader.read()).done).toBe(true);
  });

  test.each([["application/x-ndjson"], ["application/jsonl"], ["application/x-ndjson; charset=utf-8"]])("as %s", async (type) => {
    const response = await server.post("/total", '{"x":1}\r\n\n{"x":2}', { "content-type": type });
    expect(await response.json()).toEqual({ sum: 3 });
  });

  test("of no items", async () => {
    expect(await (await server.post("/total", "", ndjson)).json()).toEqual({ sum: 0 });
  });

  test("anything else is not taken, and what is, is listed", async () => {
    const problem = await problemOf(await server.post("/total", "1"), 415, "unsupported_media_type");
    expect(problem.accepted).toEqual(["application/x-ndjson"]);
  });

  test("one line that is not JSON", async () => {
    const problem = await problemOf(await server.post("/total", '{"x":1}\n{"x":\n{"x":3}\n', ndjson), 400, "invalid_request");
    expect(problem.detail).toMatch(/^Item 1 of the stream: .*not valid JSON/);
  });

  test("one item that does not fit", async () => {
    const problem = await problemOf(await server.post("/total", '{"x":1}\n{"x":2}\n{"x":"3"}\n', ndjson), 400, "invalid_request");
    expect(problem.errors).toMatchObject([{ path: "[2].x", pointer: "#/2/x" }]);
  });

  test("a bad line is answered though the client would send for ever", async () => {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        sent += 1;
        controller.enqueue(new TextEncoder().encode(sent === 3 ? "oops\n" : '{"x":1}\n'));
        if (sent > 20_000) controller.close();
      },
    });
    const problem = await problemOf(await server.post("/total", body, ndjson), 400, "invalid_request");
    expect(problem.detail).toContain("Item 2");
  });

  test("a line that is longer than a body may be", async () => {
    await using small = await serve([{ service: services.find(({ name }) => name === "total") as never, policy: { maxBodyBytes: 100 } }]);
    await problemOf(await small.post("/total", `{"x":${"1".repeat(200)}}\n`, ndjson), 413, "payload_too_large");
    const many = '{"x":1}\n'.repeat(1_000);
    expect(await (await small.post("/total", many, ndjson)).json()).toEqual({ sum: 1_000 });
  });

  test("a service that reads one item only, or none, is answered all the same", async () => {
    expect(await (await server.post("/first", "7\n8\n9\n", ndjson)).json()).toBe(7);
    expect(await (await server.post("/ignore", "1\n".repeat(100_000), ndjson)).json()).toBe("no item read");
    expect(await (await server.post("/first", `7\n${"8\n".repeat(500_000)}`, ndjson)).json()).toBe(7);
  });

  test("has no batch route", async () => {
    expect((await problemOf(await server.post("/total/batch", "[]"), 404, "not_found")).detail).toContain("takes a stream");
  });
});
