import { createServer } from "node:http";
import { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { leaveLateRequests } from "../../../src/runtime/http/request-listeners.ts";
import { until } from "../../support/serving.ts";

test("what comes behind the last answer of a connection is left alone", async () => {
  const asked: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    asked.push(url);
    if (url === "/last") response.writeHead(200, { connection: "close" }).end();
  });
  leaveLateRequests(server);
  let isEnding = false;
  // A connection takes a while to end: what is under way still comes.
  const connection = new Duplex({
    read: () => undefined,
    write: (_part, _encoding, done) => {
      done();
    },
    final: (done) => {
      isEnding = true;
      setTimeout(done, 100);
    },
  });
  server.emit("connection", connection);
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
  connection.push(get("/last") + get("/behind"));
  await until(() => isEnding, "the end");
  connection.push(get("/late"));
  await pause(20);
  expect(asked).toEqual(["/last", "/behind"]);
  connection.destroy();
});
