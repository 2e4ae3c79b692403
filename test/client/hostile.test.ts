/** Services' clients against servers that break, lie, or never end. */
import { execFile } from "node:child_process";
import { getEventListeners } from "node:events";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { createClient, ServableError, type CallOptions } from "../../src/client.ts";
import { retryDelay } from "../../src/client/exchange.ts";
import { flood, head, repeat, startRawServer, whole, type Misbehave } from "./raw-server.ts";
import type * as services from "./services.ts";
import { sendJson, startWireServer } from "./wire-server.ts";

type Module = typeof services;

async function failureOf(url: string, options: CallOptions = {}): Promise<ServableError> {
  const client = createClient<Module>(url, { timeoutMs: 1_000, retries: 0 });
  const thrown: unknown = await client.double({ x: 1 }, options).then(
    (value) => new Error(`it gave ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!ServableError.isInstance(thrown)) throw thrown;
  return thrown;
}

const json = "content-type: application/json";
const problem = (body: unknown, ...headers: string[]): Buffer =>
  whole("503 Busy", "application/problem+json", JSON.stringify(body), ...headers);

describe("a call", () => {
  const cases: readonly (readonly [string, Misbehave, string, RegExp])[] = [
    ["is reset before an answer", (socket) => socket.resetAndDestroy(), "unavailable", /^Could not reach .*ECONNRESET/],
    ["is ended before an answer", (socket) => socket.end(), "unavailable", /^Could not reach/],
    ["is ended in the head", (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-ty"), "unavailable", /^Could not reach/],
    ["is ended in the body", (socket) => socket.end(`${head("200 OK", json, "content-length: 100")}{}`), "unavailable", /broke off/],
    [
      "gets chunks that are none",
      (socket) => socket.end(`${head("200 OK", json, "transfer-encoding: chunked")}zz\r\n`),
      "unavailable",
      /off/,
    ],
    [
      "gets chunks without the last",
      (socket) => socket.end(`${head("200 OK", json, "transfer-encoding: chunked")}2\r\n{}\r\n`),
      "unavailable",
      /off/,
    ],
    ["gets what is no HTTP", (socket) => socket.end("SSH-2.0-OpenSSH\r\n"), "unavailable", /does not match the HTTP\/1.1 protocol/],
    ["gets a head without end", (socket) => flood(socket, `HTTP/1.1 200 OK\r\nx: ${"x".repeat(100_000)}`), "unavailable", /Overflow/],
    ["gets another protocol", (socket) => socket.write(head("101 Yes", "upgrade: x", "connection: upgrade")), "unavailable", /upgrade/],
    ["gets early hints for ever", (socket) => repeat(socket, head("103 Early Hints")), "deadline_exceeded", /within 1000 ms/],
    ["gets a byte now and then", (socket) => repeat(socket, " ", head("200 OK", json)), "deadline_exceeded", /within 1000 ms/],
    ["gets nothing", () => undefined, "deadline_exceeded", /within 1000 ms/],
    [
      "gets an empty text as JSON",
      (socket) => socket.write(whole("200 OK", "application/json", "")),
      "internal",
      /JSON that can't be read/,
    ],
    ["gets a page as JSON", (socket) => socket.write(whole("200 OK", "application/json", "<h1>")), "internal", /JSON that can't be read/],
    ["gets a page of a proxy", (socket) => socket.write(whole("502 Bad Gateway", "text/html", "<h1>")), "unavailable", /answered 502/],
    [
      "gets gzip that is none",
      (socket) => socket.write(whole("200 OK", "application/json", "{}", "content-encoding: gzip")),
      "unavailable",
      /off/,
    ],
    ["gets a failure that never ends", (socket) => repeat(socket, "x", head("500 X", json)), "deadline_exceeded", /within/],
    [
      "gets a failure without end, fast",
      (socket) => flood(socket, "x".repeat(1_000_000), head("500 X", "content-type: text/plain")),
      "internal",
      /: x+…$/,
    ],
  ];

  test.each(cases)("that %s", async (_, misbehave, code, message) => {
    await using server = await startRawServer(misbehave);
    const startedAt = performance.now();
    const error = await failureOf(server.url);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(server.requests()).toBe(1);
  });

  test("that gets 204 has no value, whatever type the body has that is not there", async () => {
    await using server = await startRawServer((socket) => socket.write(head("204 No Content", json)));
    expect(await createClient<Module>(server.url).double({ x: 1 })).toBeUndefined();
  });

  test("takes nothing from the prototype of what it gets", async () => {
    await using server = await startRawServer((socket) => socket.write(whole("200 OK", "application/json", '{"__proto__":{"y":1}}')));
    const value: object = await createClient<Module>(server.url).double({ x: 1 });
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(["__proto__"]);
  });

  test("that was refused while it still sent is over, and so is its connection", async () => {
    await using server = await startRawServer((socket) => socket.write(whole("413 Too Large", "text/plain", "too large")));
    let ended = false;
    async function* endless(): AsyncGenerator<{ x: number }> {
      try {
        for (;;) yield await new Promise<{ x: number }>((resolve) => setTimeout(() => resolve({ x: 1 }), 1));
      } finally {
        ended = true;
      }
    }
    const client = createClient<Record<string, never>>(server.url) as unknown as { any(input: unknown): Promise<unknown> };
    await expect(client.any(endless())).rejects.toMatchObject({ code: "payload_too_large" });
    await expect(client.any(new Uint8Array(20_000_000))).rejects.toMatchObject({ code: "payload_too_large" });
    await expect.poll(() => ended).toBe(true);
    await expect.poll(() => server.open.size).toBe(0);
  });

  test("leaves no listener on its signal", async () => {
    await using server = await startWireServer((_arrival, response) => sendJson(response, { y: 2 }));
    const { signal } = new AbortController();
    const client = createClient<Module>(server.url);
    await Promise.all(Array.from({ length: 20 }, () => client.double({ x: 1 }, { signal })));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await client.double({ x: 1 }, { signal });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});

test("a process with nothing left to do ends, whatever its servers still owe it", async () => {
  await using silent = await startRawServer(() => undefined);
  await using stream = await startRawServer((socket) => {
    socket.write(`${head("200 OK", "content-type: text/event-stream")}data: 1\n\n`);
    // The second connection's stream has its end, and the connection none.
    if (stream.requests() > 1) socket.write("event: end\n\n");
  });
  const child = fileURLToPath(new URL("ends-child.mjs", import.meta.url));
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [child, silent.url, stream.url, silent.url.replace("http", "grpc")], { timeout: 15_000 });
  const late = "deadline_exceeded";
  expect(stdout.trim()).toBe([late, "cancelled", late, late, late, late, 1, 1].join());
});

describe("a redirect", () => {
  test.each([301, 302, 303, 307, 308])("with %i is not followed: another origin gets neither headers nor input", async (status) => {
    await using elsewhere = await startWireServer((_arrival, response) => sendJson(response, { y: 2 }));
    const location = `${elsewhere.url}/path?key=secret`;
    await using server = await startRawServer((socket) => socket.write(head(`${status} X`, `location: ${location}`, "content-length: 0")));
    const error = await failureOf(server.url, { headers: { "x-api-key": "secret" } });
    expect(error).toMatchObject({ code: "unavailable", details: { status } });
    expect(error.message).toBe(
      `${server.url} redirects to ${elsewhere.url}/path, where no request is sent on: give the client the address of the service itself.`,
    );
    expect(elsewhere.arrivals).toEqual([]);
  });

  test.each(["/double", "http://[[", "javascript:alert(1)"])("to '%s' ends at once", async (location) => {
    await using server = await startRawServer((socket) => socket.write(head("307 X", `location: ${location}`, "content-length: 0")));
    expect(await failureOf(server.url)).toMatchObject({ code: "unavailable", message: expect.stringContaining("redirects") as string });
    expect(server.requests()).toBe(1);
  });

  test("that a browser hides says so", async () => {
    const hidden = Object.defineProperty(Response.error(), "type", { value: "opaqueredirect" });
    const client = createClient<Module>("http://127.0.0.1:1", { fetch: () => Promise.resolve(hidden) });
    await expect(client.double({ x: 1 })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("redirects, where") as string,
    });
  });
});

describe("a problem document", () => {
  test.each([
    [null, "unavailable", /without a problem document/],
    [[], "unavailable", /without a problem document/],
    [{ code: 5, title: [], detail: null, errors: "x" }, "unavailable", /without a problem document/],
    [{ title: "t", errors: [null, 5, { detail: 5, pointer: 7 }, { pointer: "#/%zz/~3" }] }, "unavailable", /^t$/],
    [{ title: "t", status: 200 }, "unavailable", /^t$/],
    [{ title: "t", code: "__proto__" }, "unavailable", /^t$/],
  ])("of junk: %j", async (body, code, message) => {
    await using server = await startRawServer((socket) => socket.write(problem(body)));
    expect(await failureOf(server.url)).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test("with a path of very many keys takes no longer than it is", async () => {
    const keys = 100_000;
    const errors = [{ pointer: "/0".repeat(keys), path: "[0]".repeat(keys) }];
    await using server = await startRawServer((socket) => socket.write(problem({ title: "t", errors })));
    const { issues } = await failureOf(server.url);
    expect(issues[0]?.path).toHaveLength(keys);
  }, 10_000);

  test.each(["-5", "garbage", "", "Infinity", "Wed, 21 Oct 2099 07:28:00 GMT", "99999999999999999999"])(
    "with Retry-After '%s'",
    async (value) => {
      await using server = await startRawServer((socket) =>
        socket.write(problem({ code: "overloaded", title: "t" }, `retry-after: ${value}`)),
      );
      const client = createClient<Module>(server.url, { timeoutMs: 1_000, retries: 1 });
      await expect(client.double({ x: 1 })).rejects.toMatchObject({ code: "overloaded" });
      expect(server.requests()).toBeLessThanOrEqual(2);
    },
  );

  test("that asks for more time than a timer has is not waited for", () => {
    const error = new ServableError("overloaded", "t", { retryAfterMs: 2 ** 31 });
    expect(retryDelay(error, 0, 0)).toBeUndefined();
  });
});

describe("a stream", () => {
  const opening = head("200 OK", "content-type: text/event-stream");
  const events =
    (text: string) =>
    (socket: Socket): void =>
      void socket.end(opening + text);

  async function read(url: string): Promise<{ items: unknown[]; error?: unknown }> {
    const items: unknown[] = [];
    try {
      for await (const item of createClient<Module>(url, { timeoutMs: 500 }).count({ to: 1 })) items.push(item);
      return { items };
    } catch (error) {
      return { items, error };
    }
  }

  test.each<readonly [string, Misbehave, number, string, RegExp]>([
    ["ends without its end", events("data: 1\n\n"), 1, "unavailable", /before its end/],
    ["ends in the middle of a line", events("data: 1\n\ndata: 2"), 1, "unavailable", /before its end/],
    ["ends in the middle of an event", events("data: 1\n\ndata: 2\n"), 1, "unavailable", /before its end/],
    [
      "has no events in it",
      (socket) => socket.write(head("204 No", "content-type: text/event-stream")),
      0,
      "unavailable",
      /before its end/,
    ],
    ["has an item that is no JSON", events("data: 1\n\ndata: {\n\n"), 1, "internal", /an item with JSON that can't be read/],
    ["has a failure that is no JSON", events("event: error\ndata: {\n\n"), 0, "internal", /a failure with JSON/],
    ["has a failure of nothing", events("event: error\ndata: null\n\n"), 0, "internal", /without a problem document/],
    ["has no end of line", (socket) => repeat(socket, "x".repeat(1_000), opening), 0, "deadline_exceeded", /within 500 ms/],
    ["has nothing but comments", (socket) => repeat(socket, ": hi\n\n", opening), 0, "deadline_exceeded", /within 500 ms/],
    [
      "is reset",
      (socket) => socket.write(`${opening}data: 1\n\n`, () => setTimeout(() => socket.resetAndDestroy(), 50)),
      1,
      "unavailable",
      /broke off/,
    ],
  ])("that %s", async (_, misbehave, count, code, message) => {
    await using server = await startRawServer(misbehave);
    const { items, error } = await read(server.url);
    expect(items).toHaveLength(count);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  test("ends at its end, whatever comes behind it and however long", async () => {
    await using server = await startRawServer((socket) =>
      flood(socket, "data: 3\n\n".repeat(1_000), `${opening}data: 1\n\nevent: end\n\ndata: 2\n\n`),
    );
    expect(await read(server.url)).toEqual({ items: [1] });
    await expect.poll(() => server.open.size, { timeout: 3_000 }).toBeLessThanOrEqual(1);
  });

  test("that nobody reads is not read, and is free when it is left", async () => {
    let written = 0;
    await using server = await startRawServer((socket) => {
      const item = `data: "${"x".repeat(100_000)}"\n\n`;
      socket.write(opening + item);
      socket.on("close", () => (written = -1));
      const write = (): void => {
        do written += item.length;
        while (socket.writable && socket.write(item));
      };
      socket.on("drain", write);
      write();
    });
    const items = createClient<Module>(server.url).count({ to: 1 })[Symbol.asyncIterator]();
    await items.next();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(written).toBeLessThan(50_000_000);
    await items.return?.();
    await expect.poll(() => written).toBe(-1);
  });
});
