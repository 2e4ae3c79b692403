import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { discardRest } from "../../../src/runtime/http/node-body.ts";
import { splitAnswers } from "../../support/raw-answers.ts";
import { openRaw, until } from "../../support/serving.ts";

const maxMs = 50;
let server: Server | undefined;
afterEach(() => server?.close());

/** A server that holds GET, answers POST with a refusal, and throws away what still comes of it. */
async function refusing(): Promise<{ readonly port: number; readonly held: ServerResponse[] }> {
  const held: ServerResponse[] = [];
  server = createServer((message, response) => {
    if (message.method === "GET") {
      held.push(response);
      return;
    }
    discardRest(message, { response, maxBytes: 1_000, maxMs });
    response.writeHead(413).end("no");
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, held };
}

const slow = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const upload = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";

test("the time for the rest of a refused upload begins when it is its answer's turn", async () => {
  const { port, held } = await refusing();
  using connection = await openRaw(port);
  connection.write(slow + upload);
  await until(() => held.length === 1, "the slow one");
  await pause(3 * maxMs);
  connection.write("x".repeat(100));
  held[0]?.end("slow");
  await until(() => connection.received().includes("413"), "the refusal");
  expect(splitAnswers(connection.received()).map(({ status }) => status)).toEqual(["HTTP/1.1 200 OK", "HTTP/1.1 413 Payload Too Large"]);
  // It goes on with the next one.
  connection.write(slow);
  await until(() => held.length === 2, "the next request");
});

test.each([
  ["alone", upload],
  ["behind another answer", slow + upload],
])("an upload that does not end then is cut off (%s)", async (_where, sent) => {
  const { port, held } = await refusing();
  using connection = await openRaw(port);
  connection.write(sent);
  if (sent !== upload) await until(() => held.length === 1, "the slow one");
  held[0]?.end("slow");
  expect(splitAnswers(await connection.closed).at(-1)).toMatchObject({ status: "HTTP/1.1 413 Payload Too Large", body: "no" });
});

test("so is one that is too long, whoever's turn it is", async () => {
  const { port, held } = await refusing();
  using connection = await openRaw(port);
  connection.write(slow + upload.replace("100", "100000"));
  await until(() => held.length === 1, "the slow one");
  connection.write("x".repeat(1_500));
  expect(await connection.closed).toBe("");
});
