import { Writable } from "node:stream";
import { defineService, type Logger } from "servable";
import { pino } from "pino";
import { expect, test } from "vitest";
import { serve } from "../support/serving.ts";

test("what an inline service logs keeps service and request, whatever it holds", async () => {
  let written = "";
  const lines = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString();
      done();
    },
  });
  const disguised = defineService({
    name: "disguised",
    call(_value, { log }: { readonly log: Logger }) {
      log.info({ requestId: "another's", service: "another", kept: 1 }, "fields");
      log.warn("only a text");
      log.error(Object.assign(new Error("by itself"), { requestId: "of the error" }));
      (log.info as (fields: unknown) => void)(null);
      return null;
    },
  });
  await using server = await serve([disguised], { log: pino({ base: null }, lines) });
  expect((await server.post("/disguised", "1", { "x-request-id": "mine" })).status).toBe(200);

  const own = written.split("\n").filter((line) => line.includes('"mine"') && !line.includes('"outcome"'));
  expect(own).toHaveLength(4);
  for (const line of own) {
    // JSON.parse alone would not see a name that stands there twice.
    expect(line.match(/"service":/g)).toHaveLength(1);
    expect(line).toContain('"service":"disguised"');
  }
  const parsed = own.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(parsed[0]).toMatchObject({ requestId: "mine", kept: 1, msg: "fields" });
  expect(own[0]?.match(/"requestId":/g)).toHaveLength(1);
  expect(parsed[1]).toMatchObject({ requestId: "mine", msg: "only a text" });
  expect(parsed[2]).toMatchObject({ requestId: "mine", msg: "by itself", err: { message: "by itself" } });
});
