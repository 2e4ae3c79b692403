import { fastify, type FastifyInstance } from "fastify";
import { defineService } from "servable";
import { servicesPlugin } from "servable/http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { keepLog, openRaw, problemOf, until, type LogLine } from "../../support/serving.ts";

const steps: string[] = [];
let release = (): void => undefined;
const services = [
  defineService({
    name: "double",
    input: z.object({ x: z.number() }),
    output: z.object({ y: z.number() }),
    setup: () => void steps.push("setup"),
    call: ({ x }) => ({ y: 2 * x }),
    close: () => void steps.push("close"),
  }),
  defineService({ name: "size", call: (value) => (value as string).length }),
  defineService({
    name: "hold",
    async call(value) {
      steps.push("begun");
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return value;
    },
  }),
  defineService({
    name: "count",
    async *call() {
      yield 1;
      yield 2;
    },
  }),
];

let app: FastifyInstance;
let url: string;
const lines: LogLine[] = [];
beforeEach(async () => {
  steps.length = 0;
  lines.length = 0;
  app = fastify();
  app.setErrorHandler((error, _request, reply) => reply.code(418).send({ mine: (error as Error).message }));
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ mine: "not found" }));
  app.post("/mine", (request) => ({ got: request.body }));
  app.post("/mine/fail", () => {
    throw new Error("mine");
  });
  await app.register(servicesPlugin, { services, prefix: "/ml", health: true, openapi: true, log: keepLog(lines), graceMs: 5_000 });
  url = await app.listen({ port: 0, host: "127.0.0.1" });
});
afterEach(() => app.close());

const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url + path, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });

describe("services in an app of the user's own", () => {
  test("answer under the prefix, streams and lists, too", async () => {
    expect(await (await post("/ml/double", '{"x":2}')).json()).toEqual({ y: 4 });
    expect(await (await post("/ml/double/batch", '[{"x":2}]')).json()).toEqual([{ output: { y: 4 } }]);
    expect(await (await post("/ml/count", "null")).text()).toBe("1\n2\n");
    expect((await fetch(`${url}/ml/readyz`)).status).toBe(200);
    expect(((await (await fetch(`${url}/ml/openapi.json`)).json()) as { openapi: string }).openapi).toMatch(/^3\.1/);
  });

  test("and the user's own routes go on as before: JSON is parsed, errors and unknown paths are the user's", async () => {
    expect(await (await post("/mine", '{"a":1}')).json()).toEqual({ got: { a: 1 } });
    const broken = await post("/mine", "{");
    expect([broken.status, Object.keys((await broken.json()) as object)]).toEqual([418, ["mine"]]);
    const failed = await post("/mine/fail", "{}");
    expect([failed.status, await failed.json()]).toEqual([418, { mine: "mine" }]);
    const unknown = await post("/nobody", "{}");
    expect([unknown.status, await unknown.json()]).toEqual([404, { mine: "not found" }]);
  });

  test("what is wrong with a call is a problem, malformed content types included", async () => {
    expect((await problemOf(await post("/ml/double", '{"x":"2"}'), 400, "invalid_request")).errors).toMatchObject([{ path: "x" }]);
    await problemOf(await post("/ml/double", "{"), 400, "invalid_request");
    const problem = await problemOf(await post("/ml/double", "x", { "content-type": "nonsense" }), 415, "unsupported_media_type");
    expect(problem.accepted).toContain("application/json");
    const wrong = await problemOf(await fetch(`${url}/ml/double`), 405, "method_not_allowed");
    expect(wrong.detail).toBe("/ml/double takes POST, not GET.");
  });

  test("have their own limits, not the app's", async () => {
    const text = JSON.stringify("x".repeat(5_000_000));
    expect(await (await post("/ml/size", text)).json()).toBe(5_000_000);
    await problemOf(await post("/ml/size", JSON.stringify("x".repeat(17_000_000))), 413, "payload_too_large");
  });

  test("log a line for each request", async () => {
    await (await post("/ml/double", '{"x":2}')).text();
    expect(lines.filter(({ message }) => message === "request")).toMatchObject([{ fields: { service: "double", outcome: "ok" } }]);
  });

  test("start and stop with the app, and what is in flight finishes", async () => {
    expect(steps).toEqual(["setup"]);
    const held = post("/ml/hold", "1");
    await until(() => steps.includes("begun"), "the call");
    const closing = app.close();
    await until(() => lines.length >= 0, "a turn");
    release();
    expect(await (await held).json()).toBe(1);
    await closing;
    expect(steps.at(-1)).toBe("close");
  });
});

describe("metrics and page", () => {
  test("are there when asked for, also under the prefix without its slash", async () => {
    const other = fastify();
    await other.register(servicesPlugin, { services, prefix: "/ml", metrics: true, page: true, log: keepLog() });
    const called = await other.inject({ method: "POST", url: "/ml/double", payload: { x: 1 } });
    expect(called.json()).toEqual({ y: 2 });
    const metrics = await other.inject("/ml/metrics");
    expect(metrics.headers["content-type"]).toMatch(/^text\/plain/);
    expect(metrics.body).toContain('servable_requests_total{service="double",outcome="ok"} 1');
    const page = await other.inject("/ml/");
    expect([page.statusCode, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    // From there its links would lead out of the prefix.
    const bare = await other.inject("/ml?x=1");
    expect([bare.statusCode, bare.headers.location]).toEqual([308, "ml/"]);
    for (const [, path] of page.body.matchAll(/(?:src|href)="\.\/([\w.-]+\.(?:js|css|json))"/g)) {
      expect([path, (await other.inject(`/ml/${path}`)).statusCode]).toEqual([path, 200]);
    }
    const { paths } = (await other.inject("/ml/openapi.json")).json<{ paths: object }>();
    expect(paths).toHaveProperty("/metrics");
    expect(paths).not.toHaveProperty("/readyz");
    await other.close();
  });

  test("are not there when not", async () => {
    for (const path of ["/ml/metrics", "/ml/", "/ml", "/ml/page.js"]) expect((await fetch(url + path)).status).toBe(404);
    const { paths } = (await (await fetch(`${url}/ml/openapi.json`)).json()) as { paths: object };
    expect(paths).toHaveProperty("/readyz");
    expect(paths).not.toHaveProperty("/metrics");
  });
});

test("an app whose services can't be set up does not start", async () => {
  const other = fastify();
  const bad = defineService({ name: "bad", setup: () => Promise.reject(new Error("no model")), call: () => 1 });
  await other.register(servicesPlugin, { services: [bad], log: keepLog() });
  await expect(other.ready()).rejects.toMatchObject({ code: "load_failed" });
});

test("what comes behind the last answer of a connection is left alone: some versions of Fastify would end the process", async () => {
  let end = (): void => undefined;
  let called = 0;
  const own = [
    defineService({
      name: "first",
      async *call() {
        yield 1;
        await new Promise<void>((resolve) => (end = resolve));
      },
    }),
    defineService({
      name: "end-first",
      call() {
        end();
      },
    }),
    defineService({ name: "late", call: () => (called += 1) }),
    defineService({ name: "hold", call: (_value, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)) }),
  ];
  const other = fastify();
  let came = 0;
  let tooLate = 0;
  other.addHook("onRequest", ({ raw: { url, socket } }, _reply, done) => {
    if (url === "/late") came += 1;
    if (url === "/late" && socket.writableEnded) tooLate += 1;
    done();
  });
  await other.register(servicesPlugin, { services: own, log: keepLog() });
  const { port } = new URL(await other.listen({ port: 0, host: "127.0.0.1" }));
  const request = (name: string): string => `POST /${name} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1`;
  // A connection is closed soon after its last answer, and not every request comes in between.
  for (let round = 0; round < 100 && tooLate < 3; round += 1) {
    using connection = await openRaw(Number(port));
    using another = await openRaw(Number(port));
    // The second is refused by Node, in its turn, and the connection closed; the third is never answered.
    connection.write(request("first") + request("second").replace("host: x\r\n", "") + request("hold"));
    await until(() => connection.received().includes("1\n"), "the first item");
    // They are taken in one after the other, and between them the connection's last answer is sent.
    another.write(request("end-first"));
    connection.write(request("late"));
    expect(await connection.closed).toMatch(/HTTP\/1\.1 400 Bad Request\r\nConnection: close\r\n/);
  }
  expect(tooLate).toBe(3);
  expect(called).toBe(came - tooLate);
  await other.close();
});
