import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { sendDirectly } from "../../../src/runtime/http/direct-answer.ts";
import type { HttpAnswer } from "../../../src/runtime/http/call.ts";
import { openRaw, until } from "../../support/serving.ts";

let server: Server | undefined;
afterEach(() => server?.close());

/** A server that answers everything so. @returns its port, and what sending threw */
async function answering(make: () => HttpAnswer): Promise<{ readonly port: number; readonly thrown: unknown[] }> {
  const thrown: unknown[] = [];
  server = createServer((message, response) => {
    try {
      sendDirectly(message, response, make(), { requestId: "r", last: false, maxRestBytes: 1_000 });
    } catch (error) {
      thrown.push(error);
      response.destroy();
    }
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, thrown };
}

// `defineService` refuses them; an answer can still come from what another copy of this package made.
test.each(["text/x\r\ny: z", "text/\u0100"])(
  "a stream whose head can't be written (%j) is ended with its connection",
  async (mediaType) => {
    let made = 0;
    let ended = 0;
    const items = async function* (): AsyncGenerator<string> {
      try {
        for (;;) {
          made += 1;
          yield await Promise.resolve("x".repeat(10_000));
        }
      } finally {
        ended += 1;
      }
    };
    const { port, thrown } = await answering(() => ({ status: 200, headers: { "content-type": mediaType }, body: items() }));
    using connection = await openRaw(port);
    connection.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(await connection.closed).toBe("");
    await until(() => ended === 1, "the end of the stream");
    // Nobody read it: no more than what a stream makes ahead.
    expect(made).toBeLessThan(20);
    expect(thrown).toEqual([]);
  },
);

test("a single answer whose head can't be written is told to whoever sends it", async () => {
  const { port, thrown } = await answering(() => ({ status: 200, headers: { "content-type": "text/x\r\n" }, body: "1" }));
  using connection = await openRaw(port);
  connection.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  expect(await connection.closed).toBe("");
  expect(thrown).toEqual([expect.objectContaining({ code: "ERR_INVALID_CHAR" })]);
});
