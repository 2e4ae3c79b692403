import { Writable } from "node:stream";
import { ServableError, defineService } from "servable";
import { createLogger, type RequestEvent } from "servable/http";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { requestLog } from "../../src/telemetry/logs.ts";
import { keepLog, serve, until, type LogLine } from "../support/serving.ts";

const marker = "PAYLOAD-7f3a";
const services = [
  defineService({
    name: "double",
    input: z.strictObject({ x: z.number(), note: z.string().max(100).optional() }),
    output: z.object({ y: z.number(), note: z.string().optional() }),
    call: ({ x, note }, { stage }) => stage("think", () => ({ y: 2 * x, note })),
  }),
  defineService({ name: "literal", input: z.enum(["a", "b"]), call: (value) => value }),
  defineService({ name: "echo", call: (value) => value }),
  defineService({
    name: "fail",
    call: (): never => {
      throw new TypeError("what went wrong inside");
    },
  }),
  defineService({
    name: "count",
    async *call(n) {
      for (let i = 0; i < Number(n); i += 1) yield `${marker} ${i}`;
    },
  }),
];

interface Captured {
  readonly lines: () => Record<string, unknown>[];
  readonly text: () => string;
  readonly destination: Writable;
}
function capture(): Captured {
  const parts: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      parts.push(chunk.toString());
      done();
    },
  });
  const text = (): string => parts.join("");
  return {
    destination,
    text,
    lines: () =>
      text()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

test("a side of a service that OpenAPI can't describe is warned of, once", async () => {
  const captured = capture();
  const log = await createLogger({ format: "json", destination: captured.destination });
  const blind = defineService({ name: "blind", input: z.string().transform(Number), output: z.transform(String), call: (n) => n });
  const server = await serve([blind], { log });
  await server.runtime.stop();
  const warnings = captured.lines().filter(({ level }) => level === 40);
  expect(warnings.map(({ msg }) => msg)).toEqual([expect.stringContaining("for the output of service 'blind'")]);
});

describe("one line a request", () => {
  let stop = (): Promise<void> => Promise.resolve();
  afterEach(() => stop());

  test("with id, service, stage times and outcome, as JSON, and nothing of the payload", async () => {
    const captured = capture();
    const log = await createLogger({ format: "json", destination: captured.destination });
    const server = await serve(services, { log });
    stop = () => server.runtime.stop();
    const send = async (path: string, body: string, headers: Record<string, string> = {}): Promise<void> => {
      await (await server.post(path, body, headers)).text().catch(() => "");
    };
    await send("/double", `{"x":1,"note":"${marker}"}`, { "x-request-id": "a" });
    await send("/double", `{"x":"${marker}"}`, { "x-request-id": "b" });
    await send("/double", `{"x":1,"note":"${marker.repeat(20)}"}`, { "x-request-id": "c" });
    await send("/double", `{"x":1,${marker}}`, { "x-request-id": "d" });
    await send("/fail", `"${marker}"`, { "x-request-id": "e" });
    await send("/count", "3", { "x-request-id": "f" });
    await send("/literal", `"${marker}"`, { "x-request-id": "g" });
    await send("/double/batch", `[{"x":1},{"x":"${marker}"}]`, { "x-request-id": "h" });
    await send(`/double?secret=${marker}`, '{"x":1}', { "x-request-id": "i" });
    await send("/nobody", `"${marker}"`, { "x-request-id": "j" });
    await send("/echo", `"\\u0000${marker}`, { "x-request-id": "k" });
    await send("/double", "{}", { "x-request-id": "l", authorization: `Bearer ${marker}`, cookie: marker });
    await send("/echo", `{"__proto__":"${marker}"}`, { "x-request-id": "m" });
    await send("/echo", "1", { "content-type": "text/csv", "x-request-id": "n" });
    const requests = (): Record<string, unknown>[] => captured.lines().filter(({ outcome }) => outcome !== undefined);
    await until(() => requests().length >= 15, "the lines");

    expect(captured.text()).not.toContain(marker);
    const lines = new Map(requests().map((line) => [line.requestId, line]));
    expect([...lines.keys()].sort()).toEqual(["a", "b", "c", "d", "e", "f", "g", "h/0", "h/1", "i", "j", "k", "l", "m", "n"]);
    expect(lines.get("a")).toEqual({
      level: 30,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      msg: "request",
      requestId: "a",
      service: "double",
      outcome: "ok",
      ms: expect.any(Number) as number,
      stages: Object.fromEntries(
        ["queue", "deserialize", "validate", "think", "call", "serialize"].map((stage) => [stage, expect.any(Number)]),
      ),
    });
    expect(lines.get("b")).toMatchObject({
      msg: "request refused",
      level: 30,
      outcome: "invalid_request",
      stage: "validate",
      fields: ["x"],
    });
    expect(lines.get("d")).toMatchObject({ msg: "request refused", outcome: "invalid_request", stage: "deserialize" });
    expect(lines.get("e")).toMatchObject({
      msg: "request failed",
      level: 50,
      outcome: "service_failed",
      stage: "call",
      cause: expect.stringMatching(/^TypeError: what went wrong inside\n\s+at /) as string,
    });
    expect(lines.get("f")).toMatchObject({ outcome: "ok", items: 3 });
    expect(lines.get("h/1")).toMatchObject({ outcome: "invalid_request", service: "double" });
    expect(lines.get("j")).toMatchObject({ outcome: "not_found" });
    expect(lines.get("j")).not.toHaveProperty("service");
    expect(lines.get("n")).toMatchObject({ outcome: "unsupported_media_type", service: "echo" });
  });

  test("a key of the client's making is not written out whole", async () => {
    const server = await serve([defineService({ name: "map", input: z.record(z.string(), z.number()), call: (value) => value })]);
    stop = () => server.runtime.stop();
    const key = "k".repeat(100_000);
    await (await server.post("/map", `{"${key}":"x"}`)).text();
    expect(JSON.stringify(server.lines).length).toBeLessThan(2_000);
  });

  test("a service's own lines carry its name and the request's id", async () => {
    const server = await serve([
      defineService({
        name: "talk",
        setup: ({ log }) => {
          log.info("ready to talk");
        },
        call(_value, { log }) {
          log.warn({ detail: 1 }, "said");
          return 1;
        },
      }),
    ]);
    stop = () => server.runtime.stop();
    await (await server.post("/talk", "1", { "x-request-id": "t-1" })).text();
    expect(server.lines.find(({ message }) => message === "ready to talk")?.fields).toEqual({ service: "talk" });
    expect(server.lines.find(({ message }) => message === "said")).toEqual({
      level: "warn",
      fields: { service: "talk", requestId: "t-1", detail: 1 },
      message: "said",
    });
  });

  test("for a person on a terminal: readable, one line, too", async () => {
    const { default: pretty } = await import("pino-pretty");
    const captured = capture();
    const destination = pretty({ colorize: false, singleLine: true, sync: true, destination: captured.destination });
    const log = await createLogger({ destination });
    log.info({ requestId: "r", outcome: "ok" }, "request");
    await until(() => captured.text() !== "", "the line");
    expect(captured.text()).toMatch(/INFO.*: request \{"requestId":"r","outcome":"ok"\}\n$/);
  });
});

describe("the observer", () => {
  const event = (error?: ServableError): RequestEvent => ({
    service: "s",
    requestId: "r",
    outcome: error?.code ?? "ok",
    error,
    stages: [
      { stage: "call", startedAt: 0, ms: 1.23456 },
      { stage: "call", startedAt: 0, ms: 1 },
    ],
    startedAt: 0,
    totalMs: 10.000_04,
    items: undefined,
    metadata: () => ({}),
  });

  test("adds the times of a stage that ran more than once, to the microsecond", () => {
    const lines: LogLine[] = [];
    requestLog(keepLog(lines)).requestFinished?.(event());
    expect(lines[0]?.fields).toMatchObject({ stages: { call: 2.235 }, ms: 10 });
  });

  test("tells what is the server's fault from what is the client's", () => {
    const lines: LogLine[] = [];
    const observer = requestLog(keepLog(lines));
    for (const code of [
      "service_failed",
      "invalid_output",
      "worker_crashed",
      "internal",
      "serialization_failed",
      "invalid_request",
      "overloaded",
      "cancelled",
    ] as const) {
      observer.requestFinished?.(event(new ServableError(code, "M.")));
    }
    expect(lines.map(({ level }) => level)).toEqual(["error", "error", "error", "error", "error", "info", "info", "info"]);
  });

  test("has a line for what happens to workers", () => {
    const lines: LogLine[] = [];
    const observer = requestLog(keepLog(lines));
    observer.workerChanged?.({ service: "s", worker: 0, change: "ready", startMs: 12.345_67 });
    observer.workerChanged?.({ service: "s", worker: 0, change: "crash_loop", reason: "why" });
    expect(lines).toMatchObject([
      { level: "info", message: "worker ready", fields: { service: "s", worker: 0, startMs: 12.346 } },
      { level: "error", message: "worker crash loop", fields: { reason: "why" } },
    ]);
  });
});

test("an observer that throws takes no request with it", async () => {
  const server = await serve(services, {
    observers: [
      {
        requestFinished() {
          throw new Error("my observer");
        },
      },
    ],
  });
  expect(await (await server.post("/echo", "1")).json()).toBe(1);
  expect(await (await server.post("/echo", "2")).json()).toBe(2);
  expect(server.runtime.status?.services.echo).toMatchObject({ inFlight: 0 });
  expect(server.lines.some(({ message }) => message === "an observer threw")).toBe(true);
  await server.runtime.stop();
});
