import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { defineService } from "servable";
import { afterEach, expect, test } from "vitest";
import { createModelApp } from "../../../src/runtime/http/open-inference/app.ts";
import { boundSilence, type SilenceLimits } from "../../../src/runtime/http/stalls.ts";
import { openRaw, serve, until } from "../../support/serving.ts";

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function bounded(limits: SilenceLimits, answer: (message: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  server = createServer(answer);
  boundSilence(server, limits);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const large = Buffer.alloc(16 * 2 ** 20, 0x20);

test.each(["whole", "streamed"])("a client that takes nothing of a %s answer is cut off", async (kind) => {
  let left = false;
  const port = await bounded({ stalledMs: 100, silentMs: 600_000 }, (_message, response) => {
    response.once("close", () => (left = true));
    if (kind === "whole") response.end(large);
    else response.write(large);
  });
  using connection = await openRaw(port);
  connection.socket.pause();
  connection.write(get);
  await until(() => left, "the cut");
});

test("one that takes little at a time is not", async () => {
  const port = await bounded({ stalledMs: 300, silentMs: 600_000 }, (_message, response) => response.end(large));
  using connection = await openRaw(port);
  connection.write(get);
  // One write of the server's, for much longer than it may take nothing of it.
  for (let taken = 0; taken < 60; taken += 1) {
    connection.socket.pause();
    await pause(25);
    const before = connection.socket.bytesRead;
    connection.socket.resume();
    await until(() => connection.socket.bytesRead > before || connection.socket.bytesRead >= large.length);
  }
  await until(() => connection.socket.bytesRead > large.length, "the rest");
});

test("silence of the server's own may last longer, and has its end, too", async () => {
  let close = 0;
  const since = performance.now();
  const port = await bounded({ stalledMs: 50, silentMs: 500 }, (_message, response) => {
    response.once("close", () => (close = performance.now()));
  });
  using connection = await openRaw(port);
  connection.write(get);
  await connection.closed;
  await until(() => close > 0);
  expect(close - since).toBeGreaterThan(490);
});

test("and whatever moves begins it anew", async () => {
  const port = await bounded({ stalledMs: 50, silentMs: 400 }, (_message, response) => {
    void (async () => {
      for (let item = 0; item < 4; item += 1) {
        response.write(`${item}`);
        await pause(200);
      }
      response.end("end");
    })();
  });
  using connection = await openRaw(port);
  connection.write(get);
  await until(() => connection.received().includes("end"), "the end");
});

test("an idle connection has a limit of its own", async () => {
  const port = await bounded({ stalledMs: 100, silentMs: 600_000 }, (_message, response) => response.end("1"));
  server!.keepAliveTimeout = 300;
  using connection = await openRaw(port);
  connection.write(get);
  expect(await connection.closed).toMatch(/1$/);
});

test("servers of services and of models have these limits", async () => {
  let app: FastifyInstance | undefined;
  const echo = defineService({ name: "echo", policy: { deadlineMs: 600_000 }, call: (value) => value });
  await using _serving = await serve([echo], { configure: (instance) => void (app = instance) });
  const models = createModelApp(undefined, () => undefined);
  for (const one of [app, models]) {
    expect(one?.server.timeout).toBe(120_000);
    expect(one?.server.listenerCount("timeout")).toBe(1);
  }
  await models.close();
});
