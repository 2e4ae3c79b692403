/** What becomes of a connection and of what is on it, past Fastify and behind it. */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { BytesHandler, defineService, streamOf, type ResponseHandler, type ServableError } from "servable";
import type { HttpRuntimeOptions } from "servable/http";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { splitAnswers } from "../../support/raw-answers.ts";
import { openRaw, parseAnswer, problemOf, serve, until, type RawConnection } from "../../support/serving.ts";

const folder = mkdtempSync(join(tmpdir(), "servable-connections-"));
const tokenFile = join(folder, "tokens");
writeFileSync(tokenFile, "token\n");
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const lanes: readonly (readonly [string, Partial<HttpRuntimeOptions>])[] = [
  ["past Fastify", {}],
  ["behind Fastify", { configure: () => undefined }],
];
const bye = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const post = (path: string, body: string, headers = ""): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`;

/** Sends parts until somebody has had enough. @returns how many it was */
async function sendParts({ socket, closed }: RawConnection, part: Buffer, most: number): Promise<number> {
  let sent = 0;
  while (!socket.destroyed && sent < most) {
    sent += 1;
    if (socket.write(part)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([once(socket, "drain").catch(() => "cut off"), closed]);
  }
  return sent;
}

describe.each(lanes)("%s", (_lane, options) => {
  test("a 100 Continue for one of several requests stands before its answer", async () => {
    const slow = defineService({ name: "slow", call: () => setTimeout(50, "slow") });
    const bytes = defineService({ name: "bytes", response: new BytesHandler(), call: () => Buffer.from("bytes") });
    await using server = await serve([slow, bytes], options);
    using connection = await openRaw(server.port);
    connection.write(post("/slow", "1") + post("/bytes", "1", "expect: 100-continue\r\n") + bye);
    const answers = splitAnswers(await connection.closed);
    expect(answers.map(({ status, body }) => `${status.slice(9, 12)} ${body}`)).toEqual([
      '200 "slow"',
      "100 ",
      "200 bytes",
      '200 {"status":"alive"}',
    ]);
  });

  test("HTTP/1.1 without a Host header is refused in words, and what comes behind that is left alone", async () => {
    const asked: unknown[] = [];
    const echo = defineService({ name: "echo", call: (value) => asked.push(value) });
    await using server = await serve([echo], options);
    using connection = await openRaw(server.port);
    connection.write(post("/echo", "1").replace("host: x\r\n", "x-request-id: mine\r\n"));
    const text = await connection.closed;
    expect(text).toMatch(/^HTTP\/1\.1 400 .*x-request-id: mine.*The request has no Host header/s);
    expect(text).toContain("connection: close");
    expect(asked).toEqual([]);
    expect(server.lines.filter(({ fields }) => fields.requestId === "mine")).toMatchObject([{ fields: { outcome: "invalid_request" } }]);
  });

  test("a stream without an item is told by its length, and the connection goes on", async () => {
    const none = async function* (): AsyncGenerator<Uint8Array> {
      await Promise.resolve();
      yield* [];
    };
    const services = [
      defineService({ name: "none", call: none }),
      defineService({ name: "no-bytes", response: new BytesHandler(), call: none }),
    ];
    await using server = await serve(services, options);
    using connection = await openRaw(server.port);
    connection.write(post("/none", "1") + post("/no-bytes", "1") + post("/none", "1", "accept: text/event-stream\r\n") + bye);
    const answers = splitAnswers(await connection.closed);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 4 }, () => "HTTP/1.1 200 OK"));
    expect(answers.map(({ body }) => body).slice(0, 3)).toEqual(["", "", "event: end\ndata:\n\n"]);
    for (const { headers } of answers.slice(0, 2)) expect(headers).toContain("content-length: 0");
  });

  test("a stream of bytes that fails before its first item is a problem, and after it is cut off", async () => {
    const bytes = defineService({
      name: "bytes",
      response: new BytesHandler(),
      async *call(n) {
        for (let item = 0; item < Number(n); item += 1) yield await Promise.resolve(Uint8Array.of(65 + item));
        throw new Error("no luck");
      },
    });
    await using server = await serve([bytes], options);
    await problemOf(await server.post("/bytes", "0"), 500, "service_failed");
    using connection = await openRaw(server.port);
    connection.write(post("/bytes", "2"));
    const answer = await connection.closed;
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\nA\r\n1\r\nB\r\n$/);
    await until(() => server.runtime.status?.services.bytes?.inFlight === 0, "the place");
  });

  describe("what a stream has made before it fails", () => {
    const large = "x".repeat(16 * 2 ** 20);
    let fail = (): void => undefined;
    const failure = new Promise<void>((resolve) => (fail = resolve));
    const call = async function* (): AsyncGenerator<string> {
      yield await Promise.resolve(large);
      throw new Error("no luck");
    };
    const bytes: ResponseHandler = { mediaTypes: ["text/x"], serialize: (item: string) => Buffer.from(item) };
    const services = [
      defineService({ name: "lines", call }),
      defineService({ name: "bytes", response: bytes, call }),
      defineService({ name: "hold", call: () => failure.then(() => "held") }),
      defineService({
        name: "sums",
        input: streamOf(z.number()),
        async *call(items) {
          let sum = 0;
          for await (const item of items) yield (sum += item);
        },
      }),
    ];
    const problem = /^\{"error":\{.*"code":"service_failed".*\}\}$/;

    test.each(["lines", "bytes"])("reaches a slow reader, and then its connection is cut (%s)", async (name) => {
      await using server = await serve(services, options);
      using connection = await openRaw(server.port);
      connection.socket.pause();
      connection.write(post(`/${name}`, "1"));
      await until(() => server.events.length === 1, "the failure");
      // Enough for what would not wait for the reader.
      await setTimeout(100);
      connection.socket.resume();
      const [answer] = splitAnswers(await connection.closed);
      expect(answer?.status).toBe("HTTP/1.1 200 OK");
      expect(answer?.body.endsWith("<cut off>")).toBe(true);
      const [first, ...rest] = (answer?.body ?? "").slice(0, -"<cut off>".length).split("\n");
      expect(first?.length).toBe(name === "bytes" ? large.length : large.length + 2);
      expect(rest).toEqual(name === "bytes" ? [] : [expect.stringMatching(problem), ""]);
    });

    test("is sent in its turn, and so is the answer before it", async () => {
      await using server = await serve(services, options);
      using connection = await openRaw(server.port);
      connection.write(post("/hold", "1") + post("/lines", "1"));
      await until(() => server.events.length === 1, "the failure");
      await setTimeout(100);
      fail();
      const [held, answer] = splitAnswers(await connection.closed);
      expect(held?.body).toBe('"held"');
      expect(answer?.body.length).toBeGreaterThan(large.length);
      expect(answer?.body.split("\n").slice(1)).toEqual([expect.stringMatching(problem), "<cut off>"]);
    });

    test("reaches a client that is still sending", async () => {
      await using server = await serve(services, options);
      using connection = await openRaw(server.port);
      connection.socket.pause();
      connection.write("POST /sums HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n1\n2\nx\n");
      await until(() => server.events.length === 1, "the failure");
      await setTimeout(50);
      // What comes after a connection is closed has it reset, and what was not read yet is lost.
      expect(await sendParts(connection, Buffer.from("1\n".repeat(50_000)), 29)).toBe(29);
      connection.socket.resume();
      const [answer] = splitAnswers(await connection.closed);
      expect(answer?.body.split("\n")).toEqual(["1", "3", expect.stringMatching(/^\{"error":/), "<cut off>"]);
    });
  });

  test("a stranger's body is thrown away as far as 16 MiB, whatever the service takes, and his next request is heard", async () => {
    const services = [
      defineService({ name: "small", policy: { maxBodyBytes: 1_000 }, call: (value) => value }),
      defineService({ name: "large", policy: { maxBodyBytes: 2 ** 30 }, call: (value) => value }),
    ];
    await using server = await serve(services, { ...options, auth: { tokenFile } });
    const part = Buffer.alloc(2 ** 20, 0x20);
    for (const { name } of services) {
      using patient = await openRaw(server.port);
      patient.write(`POST /${name} HTTP/1.1\r\nhost: x\r\ncontent-length: ${12 * part.length}\r\n\r\n`);
      await until(() => patient.received().endsWith("}"), "the answer");
      expect(await sendParts(patient, part, 12)).toBe(12);
      patient.write(bye);
      const answers = splitAnswers(await patient.closed);
      expect(answers.map(({ status }) => status)).toEqual(["HTTP/1.1 401 Unauthorized", "HTTP/1.1 200 OK"]);

      using endless = await openRaw(server.port);
      endless.write(`POST /${name} HTTP/1.1\r\nhost: x\r\ncontent-length: ${1_000 * part.length}\r\n\r\n`);
      // What is under way in the buffers of both sides comes on top.
      expect(await sendParts(endless, part, 100)).toBeLessThan(60);
      expect(await endless.closed).toMatch(/^HTTP\/1\.1 401 /);
    }
  });

  test("what waits behind an answer on a connection that ends is called off, and a stop does not wait for it", async () => {
    const reasons: string[] = [];
    const hold = defineService({
      name: "hold",
      call: (_value, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => {
            reasons.push((signal.reason as ServableError).code);
            resolve(undefined);
          });
        }),
    });
    const server = await serve([hold], { ...options, graceMs: 600_000 });
    using connection = await openRaw(server.port);
    connection.write(post("/hold", "1").repeat(20));
    await until(() => server.runtime.status?.services.hold?.running === 20, "the calls");
    connection.socket.resetAndDestroy();
    await until(() => server.runtime.status?.services.hold?.inFlight === 0, "their end");
    expect(reasons).toEqual(Array.from({ length: 20 }, () => "cancelled"));
    // It would wait for ten minutes.
    await server.runtime.stop();
  });

  test("what is no HTTP, in the middle of an answer, is not answered in it", async () => {
    const words = defineService({
      name: "words",
      async *call(_value, { signal }) {
        yield "first";
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve);
        });
      },
    });
    await using server = await serve([words], options);
    using connection = await openRaw(server.port);
    connection.write(post("/words", "1"));
    await until(() => connection.received().includes("first"), "the first item");
    connection.write("\x00 garbage\r\n\r\n");
    expect(await connection.closed).toMatch(/"first"\n\r\n$/);
    await until(() => server.runtime.status?.services.words?.inFlight === 0, "the place");
  });

  test("whole requests before it are answered first", async () => {
    await using server = await serve([defineService({ name: "echo", call: (value) => value })], options);
    using connection = await openRaw(server.port);
    connection.write(`${post("/echo", "1")}${post("/echo", "2")}\x00 garbage\r\n\r\n`);
    const [first, second, third] = (await connection.closed).split(/(?=HTTP\/1\.1 )/).map(parseAnswer);
    expect([await first?.text(), await second?.text()]).toEqual(["1", "2"]);
    expect((await problemOf(third!, 400, "invalid_request")).detail).toBe("The request is not valid HTTP.");
  });

  test("an expectation that nobody knows is passed over", async () => {
    await using server = await serve([defineService({ name: "echo", call: (value) => value })], options);
    using connection = await openRaw(server.port);
    connection.write(post("/echo", "1", "expect: a-miracle\r\nconnection: close\r\n"));
    const answer = parseAnswer(await connection.closed);
    expect([answer.status, await answer.text()]).toEqual([200, "1"]);
  });

  test("the last answer of a connection reaches a client that goes on sending its request, which is heard to its end", async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const hold = defineService({ name: "hold", call: () => held.then(() => "held") });
    const server = await serve([hold], { ...options, graceMs: 60_000 });
    using sending = await openRaw(server.port);
    using running = await openRaw(server.port);
    running.write(post("/hold", "1"));
    await until(() => server.runtime.status?.services.hold?.running === 1, "the call");
    const stopped = server.runtime.stop();
    await until(() => server.runtime.status?.state === "stopping", "the stop");
    const part = Buffer.alloc(2 ** 16, 0x20);
    sending.write(`POST /hold HTTP/1.1\r\nhost: x\r\ncontent-length: ${100 * part.length}\r\n\r\n`);
    await until(() => sending.received().endsWith("}"), "the answer");
    expect(await sendParts(sending, part, 100)).toBe(100);
    const answer = parseAnswer(await sending.closed);
    expect([answer.status, answer.headers.get("connection")]).toEqual([503, "close"]);
    release();
    await stopped;
  });

  test("each answer is the last one on its connection while the server stops, refusals and strangers' included", async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const hold = defineService({ name: "hold", call: () => held.then(() => "held") });
    const server = await serve([hold], { ...options, graceMs: 60_000, auth: { tokenFile } });
    const token = "authorization: Bearer token\r\n";
    const requests: readonly (readonly [string, number])[] = [
      [post("/hold", "1"), 401],
      [post("/hold", "1", token), 503],
      [post("/hold/batch", "[]", token), 503],
      [post("/nobody", "1", token), 404],
      [post("/hold", "1", token).replace("POST", "PUT"), 405],
      ["GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n", 503],
      ["GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", 401],
    ];
    const connections = await Promise.all(requests.map(() => openRaw(server.port)));
    using running = await openRaw(server.port);
    running.write(post("/hold", "1", token));
    await until(() => server.runtime.status?.services.hold?.running === 1, "the call");
    const stopped = server.runtime.stop();
    // Until then what has reached the machine is taken in.
    await until(() => server.runtime.status?.state === "stopping", "the stop");
    for (const [index, [request, status]] of requests.entries()) {
      connections[index]?.write(request);
      const answer = parseAnswer((await connections[index]?.closed) ?? "");
      expect([request, answer.status, answer.headers.get("connection")]).toEqual([request, status, "close"]);
    }
    release();
    expect(await parseAnswer(await running.closed).json()).toBe("held");
    await stopped;
  });
});
