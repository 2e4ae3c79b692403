import { createServer, request } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endWithText } from "../../../src/runtime/http/one-write.ts";
import { TurnEnd } from "../../../src/runtime/http/turn-end.ts";

describe("the end of a turn", () => {
  test("sends what the turn has made, all of it, in order, once", async () => {
    const sent: number[] = [];
    const end = new TurnEnd<number>((item) => sent.push(item));
    end.add(1);
    end.add(2);
    await Promise.resolve().then(() => {
      end.add(3);
    });
    expect(sent).toEqual([]);
    await turn();
    expect(sent).toEqual([1, 2, 3]);
    end.add(4);
    await turn();
    await turn();
    expect(sent).toEqual([1, 2, 3, 4]);
  });

  test("comes early in a turn that computes for long", async () => {
    const sent: number[] = [];
    const end = new TurnEnd<number>((item) => sent.push(item));
    end.add(1);
    for (const since = performance.now(); performance.now() - since < 3;);
    end.add(2);
    expect(sent).toEqual([1, 2]);
    // What is already on its way is not sent again, and what comes after it in the same turn not forgotten.
    end.add(3);
    await turn();
    expect(sent).toEqual([1, 2, 3]);
  });

  test("what is made while it sends goes with the next one", async () => {
    const sent: number[] = [];
    const end: TurnEnd<number> = new TurnEnd<number>((item) => {
      sent.push(item);
      if (item === 1) end.add(2);
    });
    end.add(1);
    await turn();
    await turn();
    expect(sent).toEqual([1, 2]);
  });
});

describe("a text in one write", () => {
  const texts: Record<string, string> = {
    "/short": "hello",
    "/empty": "",
    "/accents": "grüße, 你好, \u{1f600}",
    "/long": "ä0".repeat(100_000),
    "/edge": "x".repeat(4_096),
  };
  const writes: string[] = [];
  const server = createServer((message, response) => {
    const text = texts[message.url ?? ""] ?? "";
    const { socket } = response;
    const write = socket?.write.bind(socket);
    if (socket !== null && write !== undefined) {
      socket.write = ((...args: Parameters<typeof write>) => {
        writes.push(String(args[0]));
        return write(...args);
      }) as typeof socket.write;
    }
    const bytes = Buffer.byteLength(text);
    response.writeHead(200, { "content-length": bytes });
    endWithText(response, text, bytes);
    if (socket !== null && write !== undefined) socket.write = write;
  });
  let port = 0;
  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  test.each(Object.keys(texts))("%s arrives as it is, and the connection is kept", async (path) => {
    const answers: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      writes.length = 0;
      const asked = request({ port, path, host: "127.0.0.1" });
      asked.end();
      const [response] = (await once(asked, "response")) as [NodeJS.ReadableStream & { headers: Record<string, string> }];
      const parts: Buffer[] = [];
      for await (const part of response) parts.push(part as Buffer);
      answers.push(Buffer.concat(parts).toString());
      expect(response.headers.connection).toBe("keep-alive");
      if (path === "/short" || path === "/accents") expect(writes).toHaveLength(1);
    }
    expect(answers).toEqual([texts[path], texts[path]]);
  });

  test("pipelined requests are answered in order", async () => {
    const { connect } = await import("node:net");
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /short HTTP/1.1\r\nhost: x\r\n\r\nGET /accents HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString();
    expect(text.split("HTTP/1.1 200 OK")).toHaveLength(3);
    expect(text.indexOf("hello")).toBeLessThan(text.indexOf("grüße"));
  });
});
