/** Requests that come whole go past Node's HTTP, and become Node's where they stop being simple: what neither may lose, delay or leave behind. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { BytesHandler, defineService, type ServableError } from "servable";
import { afterEach, describe, expect, test } from "vitest";
import { QuickLane } from "../../../src/runtime/http/quick/quick-lane.ts";
import { WholeRequestReader } from "../../../src/runtime/http/quick/whole-request.ts";
import { splitAnswers } from "../../support/raw-answers.ts";
import { deferred, openRaw, serve, until } from "../../support/serving.ts";
import { sized } from "../../support/sizes.ts";

const post = (path: string, body: string, headers = ""): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const bye = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const echo = defineService({ name: "echo", call: (value) => value });

describe("a head", () => {
  const read = (text: string | Buffer): ReturnType<WholeRequestReader["read"]> => new WholeRequestReader().read(Buffer.from(text));

  test("of the simple form is read", () => {
    const request = read(
      "POST /a?b HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nx-odd:\t a b \r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi",
    );
    expect(request?.head).toMatchObject({ path: "/a?b", length: 2 });
    expect({ ...request?.head.headers }).toEqual({
      host: "x",
      "x-empty": "",
      "x-odd": "a b",
      connection: "Keep-Alive",
      "content-length": "2",
    });
    expect(Buffer.from(request?.body ?? []).toString()).toBe("hi");
  });

  const head = "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n";
  test.each([
    ["another method", "PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"],
    ["another version", "POST /a HTTP/1.0\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"],
    ["an absolute target", "POST http://x/a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"],
    ["no host", "POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"],
    ["no length", "POST /a HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["a length twice", `${head}content-length: 2\r\n\r\nhi`],
    ["a length that is no number", "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: +2\r\n\r\nhi"],
    ["a length and a tab", "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\t\r\n\r\nhi"],
    ["chunks", `${head}transfer-encoding: chunked\r\n\r\nhi`],
    ["an expectation", `${head}expect: 100-continue\r\n\r\nhi`],
    ["another protocol", `${head}upgrade: h2c\r\n\r\nhi`],
    ["a last request", `${head}connection: close\r\n\r\nhi`],
    ["a folded line", `${head}x: a\r\n b\r\n\r\nhi`],
    ["a bare line feed", `${head}x: a\nb: c\r\n\r\nhi`],
    ["a blank before the colon", `${head}x : a\r\n\r\nhi`],
    ["a control character", `${head}x: a\u0001\r\n\r\nhi`],
    ["what is not ASCII", `${head}x: é\r\n\r\nhi`],
    ["less than its length", `${head}\r\nh`],
    ["more than its length", `${head}\r\nhi!`],
    ["no end", head],
    ["a head of 9 KB", `${head}x: ${"a".repeat(9_000)}\r\n\r\nhi`],
  ])("with %s is left to Node", (_what, text) => {
    expect(read(text)).toBeUndefined();
  });

  const cases = sized(300, 20_000);
  test(`that is read is one that Node reads in the same way (${cases} heads)`, { timeout: 120_000 }, async () => {
    const needed = fc.constantFrom(
      "host: x\ncontent-length: 2",
      "Content-Length:2\nHost:\ty ",
      "host: x\ncontent-length: 2\nhost: z",
      "host: x",
    );
    const parts = ["x-a: b", "x-a:\tb ", "X-B: ,", "connection: keep-alive", "Connection:KEEP-ALIVE", "accept: */*", "x-c: a  b"];
    const odd = [
      "__proto__: 1",
      "x-b: \x7f",
      "x!#$%&'*+-.^_`|~9: y",
      "x: ",
      "x:\r",
      "é: 1",
      "cookie: a; b",
      "set-cookie: a",
      "te: x",
      'x-c: ("\\)',
    ];
    const heads = fc
      .record({
        target: fc.constantFrom("/a", "/a?b=c", "/%00", '/"<>\\^`{|}', "//", "/a#b"),
        before: needed,
        lines: fc.array(fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...parts) }, { weight: 1, arbitrary: fc.constantFrom(...odd) }), {
          maxLength: 3,
        }),
        end: fc.constantFrom("\r\n", "\r\n", "\r\n", "\n"),
        places: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 1 }),
      })
      .map(({ target, before, lines, end, places }) => {
        const bytes = Buffer.from(`POST ${target} HTTP/1.1\r\n${[...before.split("\n"), ...lines].join(end)}${end}\r\nhi`, "latin1");
        for (const [place, byte] of places) if (place % 2 === 0) bytes[place % bytes.length] = byte;
        return bytes;
      });
    await using node = await nodeServer();
    let accepted = 0;
    for (const bytes of fc.sample(heads, { numRuns: cases, seed: Number(process.env.FC_SEED ?? 1) })) {
      const request = new WholeRequestReader().read(bytes);
      if (request === undefined) continue;
      accepted += 1;
      using connection = await openRaw(node.port);
      connection.write(bytes);
      await until(() => connection.received().endsWith("]"), JSON.stringify(bytes.toString("latin1")));
      const [told] = splitAnswers(connection.received());
      const { path, headers } = request.head;
      expect(JSON.parse(told?.body ?? ""), JSON.stringify(bytes.toString("latin1"))).toEqual([
        path,
        headers,
        Buffer.from(request.body).toString("latin1"),
      ]);
    }
    expect(accepted).toBeGreaterThan(cases / 20);
  });
});

/** Node's own server, which tells how it read a request. */
async function nodeServer(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((message, response) => {
    const parts: Buffer[] = [];
    message.on("data", (part: Buffer) => parts.push(part));
    message.on("end", () => {
      // Where Node makes a list of them.
      const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
      response.end(JSON.stringify([message.url, headers, Buffer.concat(parts).toString("latin1")]));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

describe("a call", () => {
  test("is answered in the order of what was asked, where its client asks on before it has its answer", async () => {
    const gate = deferred();
    const begun = deferred();
    const slow = defineService({
      name: "slow",
      async call() {
        begun.resolve();
        await gate.promise;
        return "slow";
      },
    });
    let calls = 0;
    const count = defineService({ name: "count", call: () => ++calls });
    await using server = await serve([slow, count]);
    using connection = await openRaw(server.port);
    connection.write(post("/slow", "1"));
    await begun.promise;
    connection.write(post("/count", "1") + post("/count", "1"));
    await until(() => calls === 2, "those behind it, which need not wait for it to be computed");
    gate.resolve();
    connection.write(bye);
    expect(splitAnswers(await connection.closed).map(({ body }) => body)).toEqual(['"slow"', "1", "2", '{"status":"alive"}']);
    expect(server.events.map(({ outcome }) => outcome)).toEqual(["ok", "ok", "ok"]);
  });

  test("that turns out to be a stream is sent by Node, to its end, and so is what follows", async () => {
    const letters = ["a", "b", "c"];
    const stream = defineService({
      name: "stream",
      call: () =>
        (async function* () {
          for (const letter of letters) yield await Promise.resolve(letter);
        })(),
    });
    let begun = 0;
    const counted = defineService({ name: "counted", call: () => ++begun });
    await using server = await serve([stream, counted]);
    using connection = await openRaw(server.port);
    connection.write(post("/counted", "1"));
    await until(() => connection.received().endsWith("1"), "the first answer");
    connection.write(post("/stream", "1", "x-request-id: mine\r\n"));
    await until(() => connection.received().endsWith("0\r\n\r\n"), "the end of the stream");
    connection.write(post("/counted", "1"));
    await until(() => connection.received().endsWith("\r\n\r\n2"), "the answer behind it");
    connection.write(bye);
    const answers = splitAnswers(await connection.closed);
    expect(answers.map(({ body }) => body)).toEqual(["1", '"a"\n"b"\n"c"\n', "2", '{"status":"alive"}']);
    expect(answers[1]?.headers).toEqual(expect.arrayContaining(["content-type: application/x-ndjson", "x-request-id: mine"]));
    expect(server.events).toHaveLength(3);
  });

  test.each([
    ["alone", ""],
    ["with another request behind it", post("/echo", "1")],
  ])("ends with its client, %s", async (_how, behind) => {
    const begun = deferred();
    const aborted = deferred<string>();
    const polite = defineService({
      name: "polite",
      async call(_value, { signal }) {
        begun.resolve();
        await once(signal, "abort");
        aborted.resolve((signal.reason as ServableError).code);
      },
    });
    await using server = await serve([polite, echo]);
    const connection = await openRaw(server.port);
    connection.write(post("/polite", "1"));
    await begun.promise;
    if (behind !== "") {
      connection.write(behind);
      await until(() => server.events.length === 1, "the request behind");
    }
    connection.socket.destroy();
    expect(await aborted.promise).toBe("cancelled");
    await until(() => server.events.length === (behind === "" ? 1 : 2), "the end of both");
    expect(server.events.some(({ outcome }) => outcome === "cancelled")).toBe(true);
  });

  test("of bytes, of text that is not ASCII, and of many kilobytes is answered to its last byte", async () => {
    const bytes = defineService({ name: "bytes", request: new BytesHandler(), response: new BytesHandler(), call: (value) => value });
    const long = defineService({ name: "long", call: (count) => "ä".repeat(Number(count)) });
    await using server = await serve([bytes, long]);
    using connection = await openRaw(server.port);
    connection.write(post("/bytes", "\u0000é", "content-type: application/octet-stream\r\n"));
    await until(() => connection.received().endsWith("é"), "the bytes");
    connection.write(post("/long", "2"));
    await until(() => connection.received().endsWith('"ää"'), "the text");
    connection.write(post("/long", "3000000"));
    await until(() => connection.received().endsWith('ä"') && connection.received().length > 3_000_000, "the long text");
    connection.write(bye);
    const answers = splitAnswers(await connection.closed);
    expect(answers.map(({ body }) => body.length)).toEqual([2, 4, 3_000_002, 18]);
    for (const { headers } of answers) expect(headers).toContain("content-length: <right>");
  });

  test("whose service gives its body's memory away goes on, whatever becomes of the connection", async () => {
    const begun = deferred();
    const gate = deferred();
    class Raw extends BytesHandler {
      override deserialize({ body }: { readonly body: Uint8Array }): Uint8Array<ArrayBuffer> {
        return body as Uint8Array<ArrayBuffer>;
      }
    }
    const give = defineService({
      name: "give",
      request: new Raw(),
      async call(bytes) {
        const { byteLength } = structuredClone(bytes, { transfer: [bytes.buffer] });
        begun.resolve();
        await gate.promise;
        return byteLength;
      },
    });
    await using server = await serve([give, echo]);
    using connection = await openRaw(server.port);
    connection.write(post("/give", "12345", "content-type: application/octet-stream\r\n"));
    await begun.promise;
    connection.write(post("/echo", "2"));
    await until(() => server.events.length === 1, "the request behind");
    gate.resolve();
    connection.write(bye);
    expect(splitAnswers(await connection.closed).map(({ body }) => body)).toEqual(["5", "2", '{"status":"alive"}']);
  });

  test("is seen by those who follow Node's requests", async () => {
    const seen: string[] = [];
    const note = (message: unknown): void => void seen.push((message as { request: IncomingMessage }).request.url ?? "");
    await using server = await serve([echo]);
    await server.post("/echo", "1", { "x-unseen": "1" });
    subscribe("http.server.request.start", note);
    try {
      using connection = await openRaw(server.port);
      connection.write(post("/echo", "2") + bye);
      expect(splitAnswers(await connection.closed).map(({ body }) => body)).toEqual(["2", '{"status":"alive"}']);
    } finally {
      unsubscribe("http.server.request.start", note);
    }
    expect(seen).toEqual(["/echo", "/livez"]);
  });
});

describe("a connection", () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** A server with time limits that a test can wait for, and what it counts. */
  async function quickServer(limits: { readonly keepAliveTimeout: number; readonly headersTimeout: number }) {
    const server = createServer(
      { ...limits, connectionsCheckingInterval: 50, keepAliveTimeoutBuffer: 0 } as object,
      (message, response) => {
        if (message.url !== "/silent") response.end("node");
      },
    );
    servers.push(server);
    const counts = { began: 0, ended: 0 };
    const lane = new QuickLane(server, {
      take(call) {
        if (call.head.path !== "/quick") return false;
        const text = call.body.byteLength > 5 ? "x".repeat(50_000_000) : "quick";
        call.send(200, ["content-type", "text/plain"], text, false);
        return true;
      },
      began: () => (counts.began += 1),
      ended: () => (counts.ended += 1),
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { lane, server, counts, port: (server.address() as AddressInfo).port };
  }

  test("on which nothing more is asked is closed when its time has come, and not before", async () => {
    const { port, counts } = await quickServer({ keepAliveTimeout: 2_000, headersTimeout: 60_000 });
    using connection = await openRaw(port);
    connection.write(post("/quick", "1"));
    await until(() => connection.received().endsWith("quick"), "the answer");
    const since = performance.now();
    await pause(1_000);
    connection.write(post("/quick", "1"));
    expect(await connection.closed).toContain("Keep-Alive: timeout=2");
    expect(performance.now() - since).toBeGreaterThan(3_000);
    expect(counts).toEqual({ began: 2, ended: 2 });
  });

  test("on which nothing was ever asked has Node's time for that", async () => {
    const { port } = await quickServer({ keepAliveTimeout: 60_000, headersTimeout: 300 });
    using connection = await openRaw(port);
    expect(await connection.closed).toContain("408 Request Timeout");
  });

  test("whose client does not read its answer is closed when its time has come", async () => {
    const { port, counts } = await quickServer({ keepAliveTimeout: 1_000, headersTimeout: 60_000 });
    using connection = await openRaw(port);
    connection.socket.pause();
    connection.write(post("/quick", "a long one"));
    await until(() => counts.began === 1, "the call");
    expect(counts.ended).toBe(0);
    await until(() => counts.ended === 1, "the end of it");
  });

  test("that became Node's before its answer was read has Node's time limit", async () => {
    const { port, server, counts } = await quickServer({ keepAliveTimeout: 60_000, headersTimeout: 60_000 });
    server.setTimeout(200);
    const timeouts: number[] = [];
    server.on("timeout", (socket) => timeouts.push(socket.writableLength));
    using connection = await openRaw(port);
    connection.socket.pause();
    connection.write(post("/quick", "a long one"));
    await until(() => counts.began === 1, "the call");
    connection.write(post("/silent", "1"));
    await pause(20);
    connection.socket.resume();
    await until(() => counts.ended === 1, "the end of the answer");
    await until(() => timeouts.length > 0, "Node's limit");
  });

  test("is Node's from what is not simple on, with all that was sent", async () => {
    const { port, counts } = await quickServer({ keepAliveTimeout: 60_000, headersTimeout: 60_000 });
    using connection = await openRaw(port);
    connection.write(post("/quick", "1"));
    await until(() => connection.received().endsWith("quick"), "the answer");
    const rest = `${post("/other", "1")}${post("/quick", "1")}POST /quick HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\n`;
    connection.write(rest);
    await until(() => splitAnswers(connection.received()).length === 4, "the answers to those that were whole");
    connection.write("body");
    const bodies = splitAnswers(await connection.closed).map(({ body }) => body);
    expect(bodies).toEqual(["quick", "node", "node", "node"]);
    expect(counts).toEqual({ began: 1, ended: 1 });
  });

  test("that is idle is closed by a stop", async () => {
    const { lane, port } = await quickServer({ keepAliveTimeout: 60_000, headersTimeout: 60_000 });
    using connection = await openRaw(port);
    connection.write(post("/quick", "1"));
    await until(() => connection.received().endsWith("quick"), "the answer");
    lane.closeIdle();
    await connection.closed;
  });
});
