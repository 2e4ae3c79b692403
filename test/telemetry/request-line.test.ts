import { Writable } from "node:stream";
import fc from "fast-check";
import { createLogger, type RequestEvent } from "servable/http";
import { expect, test } from "vitest";
import { requestLog } from "../../src/telemetry/logs.ts";
import { longestLine, writeRequestLine } from "../../src/telemetry/request-line.ts";

const beginning = '{"level":30,"time":"2026-11-27T18:41:05.042Z"';

/** What pino writes of an event, with the time of the lines here. */
async function byPino(): Promise<(event: RequestEvent) => string> {
  let text = "";
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const observer = requestLog(await createLogger({ format: "json", destination }));
  return (event) => {
    text = "";
    observer.requestFinished?.(event);
    return text.replace(/^\{"level":30,"time":"[^"]*"/, beginning);
  };
}

function byBytes(event: RequestEvent): string | undefined {
  const into = new Uint8Array(longestLine + 1);
  const end = writeRequestLine(into, 1, beginning, event);
  return end < 0 ? undefined : Buffer.from(into.subarray(1, end)).toString("latin1");
}

const eventOf = (parts: Partial<RequestEvent>): RequestEvent => ({
  service: "double",
  requestId: "a",
  outcome: "ok",
  error: undefined,
  stages: [],
  startedAt: 0,
  totalMs: 1,
  items: undefined,
  metadata: () => ({}),
  ...parts,
});

const ms = fc.oneof(
  fc.double({ min: 0, max: 1e8, noNaN: true }),
  fc.integer({ min: 0, max: 100_000 }),
  fc.constantFrom(0, 0.0004, 0.001, 999.9996),
);
const name = fc.constantFrom("queue", "deserialize", "validate", "call", "serialize", "of my own", 'with "quotes"', "\\");
const event = fc
  .record({
    service: fc.constantFrom("double", "a-b_c", "née"),
    requestId: fc.oneof(fc.stringMatching(/^[\w.:/+=-]{1,128}$/), fc.string({ maxLength: 200, unit: "binary" })),
    stages: fc.array(fc.record({ stage: name, ms, startedAt: fc.constant(0) }), { maxLength: 20 }),
    totalMs: ms,
    items: fc.option(fc.integer({ min: 0, max: 2 ** 40 }), { nil: undefined }),
  })
  .map(eventOf);

test("is the very line that pino writes of the same event, or none", async () => {
  const pinos = await byPino();
  let written = 0;
  fc.assert(
    fc.property(event, (any) => {
      const line = byBytes(any);
      if (line === undefined) return;
      written += 1;
      expect(line).toBe(pinos(any));
    }),
    { numRuns: 2_000 },
  );
  expect(written).toBeGreaterThan(300);
});

test.each<[string, Partial<RequestEvent>]>([
  ["an id that needs escapes", { requestId: 'a"b' }],
  ["an id outside ASCII", { requestId: "é" }],
  ["a very long id", { requestId: "a".repeat(129) }],
  ["a service outside ASCII", { service: "née" }],
  ["no service", { service: undefined }],
  ["a time that is none", { totalMs: Number.NaN }],
  ["a stage's time that is none", { stages: [{ stage: "call", ms: -1, startedAt: 0 }] }],
  ["very many stages", { stages: Array.from({ length: 17 }, (_, n) => ({ stage: `s${n}`, ms: 1, startedAt: 0 })) }],
])("leaves to pino: %s", (_what, parts) => {
  expect(byBytes(eventOf(parts))).toBeUndefined();
});

test("the longest line that it writes has the room that it asks for", () => {
  const stages = Array.from({ length: 16 }, (_, n) => ({ stage: `${n}`.padEnd(62, "x"), ms: 999_999_999.999, startedAt: 0 }));
  const longest = eventOf({ requestId: "a".repeat(128), service: "s".repeat(62), stages, totalMs: 999_999_999.999, items: 2 ** 53 - 1 });
  expect(byBytes(longest)?.length).toBeLessThan(longestLine);
});
