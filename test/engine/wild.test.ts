/** Whatever a user's code throws, gives or says, the server goes on, and keeps no place for it. */
import { pathToFileURL } from "node:url";
import { ServableError, Tensor, defineBatchable, defineInference, defineService, type Model, type NamedArrays } from "servable";
import { HttpRuntime, type EngineLogger } from "servable/http";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { closeInTime, closeMs } from "../../src/engine/placement/close-in-time.ts";
import { runFailure } from "../../src/engine/placement/run-failure.ts";
import { builtFixture } from "../support/fixtures.ts";
import { problemOf, serve, until, type Serving } from "../support/serving.ts";

const module = pathToFileURL(builtFixture("test/fixtures/wild-services.ts")).href;

async function goesOn(server: Serving, service: string): Promise<void> {
  expect(await (await server.post(`/${service}`, '"good"')).json()).toBe("good");
  await until(() => server.runtime.status?.services[service]?.inFlight === 0);
  expect(server.runtime.status?.services[service]).toMatchObject({ running: 0, queued: 0 });
}

describe.each(["inline", "thread", "process"] as const)("a service placed %s", (placement) => {
  let server: Serving;
  beforeAll(async () => {
    server = await serve([{ service: { module, export: "wild" }, policy: { placement, concurrency: 2 } }]);
  }, 60_000);
  afterAll(() => server.runtime.stop());

  test("throws an error whose details JSON can't hold: code and message arrive", async () => {
    for (let times = 0; times < 3; times += 1) {
      const problem = await problemOf(await server.post("/wild", '"details"'), 404, "not_found");
      expect(problem).toMatchObject({ detail: "No such voice." });
      expect(problem).not.toHaveProperty("voices");
    }
    await goesOn(server, "wild");
  });

  test("throws an error whose fields and time are none", async () => {
    const response = await server.post("/wild", '"issues"');
    expect(response.headers.has("retry-after")).toBe(false);
    expect(await problemOf(response, 400, "invalid_request")).not.toHaveProperty("errors");
    await goesOn(server, "wild");
  });

  test("times a stage without a name", async () => {
    await problemOf(await server.post("/wild", '"stage without a name"'), 500, "service_failed");
    const cause = server.lines.map(({ fields }) => String(fields.cause)).find((text) => text.includes("context.stage"));
    expect(cause).toContain("context.stage takes a name and a function; its name is of the type function.");
    await goesOn(server, "wild");
  });

  if (placement === "inline") {
    test("gives a promise of a class of its own that keeps no word: the deadline ends it", async () => {
      await problemOf(await server.post("/wild", '"promise of its own"', { "x-timeout-ms": "50" }), 504, "deadline_exceeded");
    });
    return;
  }

  test.each([
    ["a cause in a circle", "in a circle"],
    ["a message that is none", '{"status":502}'],
    ["a getter that throws", "(object that can't be told)"],
    ["a promise that nobody awaits", "This error originated either by"],
  ])("throws where nobody catches: %s", async (how, reason) => {
    await problemOf(await server.post("/wild", JSON.stringify(how)), 500, "worker_crashed");
    await goesOn(server, "wild");
    const lines = server.lines.filter(({ message }) => message === "worker crashed").map(({ fields }) => String(fields.reason));
    expect(lines.at(-1)).toContain(reason);
  });

  test("talks on the engine's own way", async () => {
    expect(await (await server.post("/wild", '"words"')).json()).toBe("said");
    await goesOn(server, "wild");
    expect(server.lines.some(({ message }) => message === "a worker sent what is no message of servable's")).toBe(true);
  });
});

describe("what watches and writes", () => {
  const echo = defineService({ name: "echo", call: (value) => value });

  test("an observer that fails later takes nothing with it", async () => {
    const server = await serve([echo], { observers: [{ requestFinished: () => Promise.reject(new Error("no database")) as never }] });
    await goesOn(server, "echo");
    await until(() => server.lines.some(({ message }) => message === "an observer threw"));
    await server.runtime.stop();
  });

  test("a logger that throws, or fails later, loses its lines and nothing else, and that is said once", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    const fail = (): never => {
      throw new Error("the disk is full");
    };
    const log: EngineLogger = {
      debug: fail,
      info: () => Promise.reject(new Error("the disk is full")) as never,
      warn: fail,
      error: fail,
      child: () => log,
    };
    const server = await serve([echo, defineService({ name: "bad", call: fail })], {
      log,
      observers: [{ requestFinished: fail }],
    });
    await problemOf(await server.post("/bad"), 500, "service_failed");
    await goesOn(server, "echo");
    await until(() => warnings.length > 0);
    await server.runtime.stop();
    process.off("warning", note);
    expect(warnings.map(({ message }) => message)).toEqual(["A logger failed, and its lines are lost: the disk is full"]);
  });

  test("what is no logger is refused at the start", async () => {
    const runtime = new HttpRuntime({ services: [echo], port: 0, log: console as never });
    await expect(runtime.start()).rejects.toMatchObject({
      code: "invalid_config",
      message: "A log needs the methods debug, info, warn, error and child; this one lacks child.",
    });
  });

  test("a schema's promise may be of any kind, and its messages are texts", async () => {
    const schema = (result: unknown) => ({
      "~standard": {
        version: 1 as const,
        vendor: "test",
        validate: () => ({ then: (done: (value: unknown) => void) => done(result) }) as never,
      },
    });
    await using server = await serve([
      defineService({ name: "fits", input: schema({ value: "good" }), call: (value: unknown) => value }),
      defineService({ name: "fails", input: schema({ issues: [{ message: 5n }] }), call: (value: unknown) => value }),
    ]);
    await goesOn(server, "fits");
    const problem = await problemOf(await server.post("/fails"), 400, "invalid_request");
    expect(problem.errors).toMatchObject([{ detail: expect.any(String) as string }]);
  });
});

describe("a response handler of somebody's own", () => {
  const bytes = new Uint8Array(4).fill(65);
  const detached = new Uint8Array(4);
  structuredClone(detached, { transfer: [detached.buffer] });
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(65);

  // With hooks of others the answers are Fastify's to send.
  test.each([[undefined], [() => undefined]])("may give odd bytes", async (configure) => {
    const give: Readonly<Record<string, unknown>> = { detached, shared, bytes, none: new Uint8Array(0), heir: Object.create(bytes) };
    const service = defineService({
      name: "odd",
      response: { mediaTypes: ["application/octet-stream"], serialize: (which: string) => give[which] as Uint8Array },
      call: (which: unknown) => which as string,
    });
    await using server = await serve([service], { configure });
    for (const which of ["bytes", "shared"]) expect(await (await server.post("/odd", `"${which}"`)).text()).toBe("AAAA");
    expect(await (await server.post("/odd", '"none"')).text()).toBe("");
    for (const which of ["detached", "heir"]) await problemOf(await server.post("/odd", `"${which}"`), 500, "serialization_failed");
  });
});

describe("around a model", () => {
  const rows = (count: number): NamedArrays => ({ x: new Tensor("FP32", [count, 1], new Float32Array(count)) });
  const model = (): Model => ({
    name: "m",
    inputs: [],
    outputs: [],
    run: (inputs) => inputs,
    close: () => undefined,
  });
  const policy = { placement: "inline", batching: { maxRows: 8, maxDelayMs: 5 } } as const;
  /** What the functions of a service give, for the request "odd". */
  const odd = (functions: Readonly<Record<string, () => unknown>>) => {
    const of = (name: string, request: unknown, usual: unknown) =>
      (request === "odd" && name in functions ? functions[name]?.() : usual) as never;
    const inference = defineInference({
      name: "inference",
      model,
      policy,
      preprocess: (request: unknown) => of("preprocess", request, rows(1)),
      postprocess: () => "good",
      priority: (request) => of("priority", request, 0),
    });
    const batchable = defineBatchable({
      name: "batchable",
      model,
      policy,
      rows: (request) => of("rows", request, 1),
      key: (request) => of("key", request, ""),
      batch: (requests: readonly unknown[]) => (requests.includes("odd") ? of("batch", "odd", rows(1)) : rows(1)),
      unbatch: (_outputs, requests: readonly unknown[]) =>
        requests.includes("odd")
          ? of(
              "unbatch",
              "odd",
              requests.map(() => "good"),
            )
          : requests.map(() => "good"),
    });
    return [inference, batchable];
  };

  const oddities: readonly [service: string, name: string, give: () => unknown, code: string, message: string][] = [
    ["inference", "preprocess", () => undefined, "invalid_output", "`preprocess` must give tensors by name"],
    ["inference", "preprocess", () => ({ x: [1] }), "invalid_output", "`preprocess` must give 'x' as a Tensor; it gave a plain array."],
    ["inference", "priority", () => NaN, "service_failed", "The service's `priority` must give a number; what it gave is NaN."],
    ["inference", "priority", () => Symbol("first"), "service_failed", "what it gave is of the type symbol."],
    ["inference", "priority", () => Promise.reject(new Error("async")), "service_failed", "what it gave is of the type Promise."],
    ["batchable", "rows", () => NaN, "service_failed", "The service's `rows` must give a whole number, from 0 on; what it gave is NaN."],
    ["batchable", "rows", () => "2", "service_failed", "what it gave is of the type string."],
    ["batchable", "rows", () => Promise.reject(new Error("async")), "service_failed", "what it gave is of the type Promise."],
    ["batchable", "key", () => ({}), "service_failed", "The service's `key` must give a text; what it gave is of the type object."],
    ["batchable", "batch", () => ({ x: null }), "invalid_output", "`batch` must give 'x' as a Tensor; it gave nothing."],
    [
      "batchable",
      "unbatch",
      () => undefined,
      "invalid_output",
      "`unbatch` must give a list with one answer for each of 1 requests; it gave no list.",
    ],
    ["batchable", "unbatch", () => [1, 2, 3, 4, 5], "invalid_output", "it gave 5 answers."],
  ];
  test.each(oddities)("%s: %s gives something odd, %#", async (service, name, give, code, message) => {
    await using server = await serve(odd({ [name]: give }));
    const [before, answer, after] = await Promise.all(['"good"', '"odd"', '"good"'].map((body) => server.post(`/${service}`, body)));
    expect(await before?.json()).toBe("good");
    expect(await after?.json()).toBe("good");
    if (answer === undefined) throw new Error("no answer");
    expect((await problemOf(answer, 500, code)).detail).toContain(message);
    await goesOn(server, service);
  });

  test("`batch` may promise its arrays by any kind of promise", async () => {
    await using server = await serve(odd({ batch: () => ({ then: (done: (arrays: NamedArrays) => void) => done(rows(1)) }) }));
    expect(await (await server.post("/batchable", '"odd"')).json()).toBe("good");
  });

  test.each([
    [undefined, "inputs, outputs, run, close"],
    [{ ...model(), run: 5 }, "run"],
    [{ ...model(), inputs: undefined }, "inputs"],
  ])("a loader that gives no model is a failure at the start, %#", async (loaded, missing) => {
    const service = defineInference({
      name: "inference",
      model: () => loaded as never,
      policy,
      preprocess: () => rows(1),
      postprocess: () => 1,
    });
    await expect(serve([service])).rejects.toMatchObject({
      code: "load_failed",
      message: expect.stringMatching(new RegExp(`^Service 'inference' could not be set up: .* lacks ${missing}\\.$`)) as string,
    });
  });

  test.each(["bad_request", "toString"])("a run that fails with a code that there is not has failed: %s", (code) => {
    const thrown = new ServableError(code as "internal", "odd");
    expect(runFailure(thrown)).toMatchObject({ code: "service_failed", message: "The model failed.", cause: thrown });
  });

  test("a close that does not end holds a stop up for a while, not for ever", async () => {
    vi.useFakeTimers();
    try {
      const closing = closeInTime(new Promise(() => undefined));
      const refused = expect(closing).rejects.toMatchObject({
        code: "service_failed",
        message: `close() did not end within ${closeMs} ms.`,
      });
      await vi.advanceTimersByTimeAsync(closeMs);
      await refused;
      await closeInTime(undefined);
    } finally {
      vi.useRealTimers();
    }
  });
});
