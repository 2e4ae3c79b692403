import { defineService, streamOf } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { deferred, expectNoLeak, openRaw, parseAnswer, problemOf, serve, until, type Serving } from "../../support/serving.ts";

const held: { value: unknown; resolve: () => void }[] = [];
const seen: { metadata: unknown; deadline: number; requestId: string }[] = [];
const services = [
  defineService({ name: "echo", call: (value) => value }),
  defineService({
    name: "look",
    call(_value, { metadata, deadline, requestId }) {
      seen.push({ metadata: { ...metadata }, deadline, requestId });
      return requestId;
    },
  }),
  defineService({ name: "impatient", policy: { deadlineMs: 60 }, call: (value) => value }),
  defineService({
    name: "impatient-stream",
    input: streamOf(z.number()),
    policy: { deadlineMs: 60 },
    call: async (items) => {
      let sum = 0;
      for await (const item of items) sum += item;
      return sum;
    },
  }),
  defineService({
    name: "hold",
    policy: { concurrency: 1, queue: 1 },
    async call(value) {
      const { promise, resolve } = deferred();
      held.push({ value, resolve });
      await promise;
      return value;
    },
  }),
];

let server: Serving;
beforeAll(async () => {
  server = await serve(services);
});
afterAll(() => server.runtime.stop());

describe("what is not HTTP", () => {
  test.each([
    ["garbage", "\x00\x01\x02\r\n\r\n", /not valid HTTP/],
    ["a bad method", "NONSENSE /echo HTTP/1.1\r\nhost: x\r\n\r\n", /not valid HTTP/],
    ["a bad length", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n", /not valid HTTP/],
    ["two framings", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", /not valid HTTP/],
    ["a head that is too large", `POST /echo HTTP/1.1\r\nhost: x\r\nx-a: ${"a".repeat(20_000)}\r\n\r\n`, /head is too large/],
  ])("%s", async (_name, text, detail) => {
    using connection = await openRaw(server.port);
    connection.write(text);
    const answer = await connection.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    const problem = await problemOf(parseAnswer(answer), 400, "invalid_request");
    expect(problem.detail).toMatch(detail);
  });

  test("no Host header", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /echo HTTP/1.1\r\ncontent-length: 1\r\nconnection: close\r\n\r\n1");
    const answer = await connection.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
    expectNoLeak(answer);
  });

  test("a chunk that is none, in the middle of a body", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n1\r\nxyz\r\n");
    expect(await connection.closed).toMatch(/^HTTP\/1\.1 400/);
    expect(await (await server.post("/echo", "1")).json()).toBe(1);
  });

  test("HTTP/1.0 is answered", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /echo HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[1]");
    const answer = parseAnswer(await connection.closed);
    expect([answer.status, await answer.text()]).toEqual([200, "[1]"]);
  });
});

describe("a body", () => {
  test("that is too slow: 408, the connection is closed, and its place is free again", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /impatient HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n[1,");
    const answer = parseAnswer(await connection.closed);
    expect(answer.headers.get("connection")).toBe("close");
    expect((await problemOf(answer, 408, "request_timeout")).detail).toBe("The request's body did not arrive within 60 ms.");
    expect(server.runtime.status?.services.impatient).toMatchObject({ inFlight: 0, running: 0, queued: 0 });
  });

  test("of a batch that is too slow", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /impatient/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[1,");
    await problemOf(parseAnswer(await connection.closed), 408, "request_timeout");
    expect(server.runtime.status?.services.impatient).toMatchObject({ inFlight: 0 });
  });

  test("streamed to a service that does not get its items in time", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /impatient-stream HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n1\n\r\n");
    const answer = parseAnswer(await connection.closed);
    await problemOf(answer, 504, "deadline_exceeded");
    await until(() => server.runtime.status?.services["impatient-stream"]?.inFlight === 0, "the place");
  });

  test("that breaks off: nothing runs, its place is free again, and the log tells", async () => {
    const before = server.events.length;
    const connection = await openRaw(server.port);
    connection.write("POST /hold HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n[1,");
    await until(() => server.runtime.status?.services.hold?.inFlight === 1, "the request");
    connection.socket.resetAndDestroy();
    await until(() => server.runtime.status?.services.hold?.inFlight === 0, "the place");
    expect(held).toEqual([]);
    await until(() => server.events.length > before, "the event");
    expect(["cancelled", "invalid_request"]).toContain(server.events.at(-1)?.outcome);
  });

  test("that ends before its length: 400", async () => {
    using connection = await openRaw(server.port);
    connection.write("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n[1,");
    connection.socket.end();
    expect(await connection.closed).toMatch(/^HTTP\/1\.1 400/);
  });

  test("in many small chunks is read whole", async () => {
    const list = JSON.stringify(Array.from({ length: 300 }, (_, index) => index));
    const body = new ReadableStream({
      start(controller) {
        for (const byte of new TextEncoder().encode(list)) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    expect(await (await server.post("/echo", body)).text()).toBe(list);
  });

  test("of requests sent one right after the other on one connection goes to each its own", async () => {
    using connection = await openRaw(server.port);
    const request = (value: number, last: boolean): string =>
      `POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n${last ? "connection: close\r\n" : ""}\r\n${value}`;
    connection.write(Array.from({ length: 8 }, (_, index) => request(index, index === 7)).join(""));
    const answers = await connection.closed;
    expect([...answers.matchAll(/\r\n\r\n(\d)/g)].map(([, value]) => value)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
  });
});

describe("the request's id", () => {
  test.each(["abc-1", "A.b:c/d+e=f_9", "x".repeat(128)])("%s is kept", async (id) => {
    const response = await server.post("/look", "1", { "x-request-id": id });
    expect(response.headers.get("x-request-id")).toBe(id);
    expect(await response.json()).toBe(id);
  });

  test.each(["", "a b", "x".repeat(129), "<script>", 'a"b', "ä", "a,b"])("%j is replaced", async (id) => {
    const response = await server.post("/look", "1", { "x-request-id": Buffer.from(id).toString("latin1") });
    const given = response.headers.get("x-request-id");
    expect(given).toMatch(/^[0-9a-f]{16}-[0-9a-z]+$/);
    expect(await response.json()).toBe(given);
  });

  test.each(["/readyz", "/livez", "/startupz", "/metrics", "/openapi.json", "/", "/page.js", "/nobody", "/echo"])(
    "GET %s answers with it, too",
    async (path) => {
      expect((await server.get(path, { headers: { "x-request-id": "me-1" } })).headers.get("x-request-id")).toBe("me-1");
      expect((await server.get(path)).headers.get("x-request-id")).toMatch(/^[0-9a-f]{16}-[0-9a-z]+$/);
    },
  );
});

describe("what a service knows of the request", () => {
  test("headers in lower case, without what proves who the client is", async () => {
    await server.post("/look", "1", {
      "X-Team": "a",
      authorization: "Bearer s3cret",
      cookie: "session=s3cret",
      "proxy-authorization": "s3cret",
    });
    expect(seen.at(-1)?.metadata).toMatchObject({ "x-team": "a" });
    expect(JSON.stringify(seen.at(-1)?.metadata)).not.toContain("s3cret");
  });

  test("its deadline: the service's own, or less if the client says so", async () => {
    for (const [header, atMost] of [
      [undefined, 30_000],
      ["5000", 5000],
      ["1e9", 30_000],
      ["1500.7", 1500],
    ] as const) {
      const begin = Date.now();
      await server.post("/look", "1", header === undefined ? {} : { "x-timeout-ms": header });
      const { deadline } = seen.at(-1)!;
      expect(deadline).toBeGreaterThanOrEqual(begin + atMost);
      expect(deadline).toBeLessThanOrEqual(Date.now() + atMost);
    }
  });

  test.each(["0", "-1", "soon", "NaN", "Infinity", ""])("a time-out of %j is refused", async (header) => {
    expect((await problemOf(await server.post("/look", "1", { "x-timeout-ms": header }), 400, "invalid_request")).detail).toContain(
      "x-timeout-ms",
    );
    await problemOf(await server.post("/look/batch", "[]", { "x-timeout-ms": header }), 400, "invalid_request");
  });
});

describe("at the limit", () => {
  test("refused before its body is read, with when to come again; the rest is answered", async () => {
    const first = server.post("/hold", "1");
    await until(() => held.length === 1, "the first");
    const second = server.post("/hold", "2");
    await until(() => server.runtime.status?.services.hold?.queued === 1, "the second");

    using connection = await openRaw(server.port);
    connection.write("POST /hold HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n");
    await until(() => connection.received().includes("\r\n\r\n{") && connection.received().endsWith("}"), "the refusal");
    const refused = parseAnswer(connection.received());
    expect(refused.headers.get("retry-after")).toBe("1");
    expect((await problemOf(refused, 503, "overloaded")).detail).toContain("'hold' is at its limit: 1 requests run and 1 wait");

    held[0]?.resolve();
    expect(await (await first).json()).toBe(1);
    await until(() => held.length === 2, "the second's turn");
    held[1]?.resolve();
    expect(await (await second).json()).toBe(2);
    expect(server.runtime.status?.services.hold).toMatchObject({ inFlight: 0, running: 0, queued: 0 });
  });

  test("a client that leaves the queue never runs", async () => {
    held.length = 0;
    const first = server.post("/hold", "1");
    await until(() => held.length === 1, "the first");
    const leaver = new AbortController();
    const second = server.post("/hold", "2", {}, leaver.signal).catch(() => "left");
    await until(() => server.runtime.status?.services.hold?.queued === 1, "the second");
    leaver.abort();
    expect(await second).toBe("left");
    await until(() => server.runtime.status?.services.hold?.queued === 0, "the leaving");
    held[0]?.resolve();
    await first;
    expect(held.map(({ value }) => value)).toEqual([1]);
  });
});
