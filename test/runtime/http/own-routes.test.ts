import type { FastifyInstance } from "fastify";
import { ServableError, defineService } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { problemOf, serve, type Serving } from "../../support/serving.ts";

const echo = defineService({ name: "echo", call: (value) => value });
const withStatus = (statusCode: number, message: string): Error => Object.assign(new Error(message), { statusCode });

/** Hooks as plugins have them: each throws what its header asks for. */
function addHooks(app: FastifyInstance): void {
  app.addHook("onRequest", async (request, reply) => {
    await Promise.resolve();
    const what = request.headers["x-throw"];
    if (what === undefined) return;
    if (what === "limit") {
      void reply.header("retry-after", "17");
      throw withStatus(429, "Slow down.");
    }
    if (what === "reply code") {
      void reply.code(409);
      throw new Error("By the reply.");
    }
    if (what === "ours") throw new ServableError("not_ready", "Not yet.", { retryAfterMs: 2_000 });
    if (what === "text") throw "a text";
    // As @fastify/rate-limit does with an answer of one's own.
    if (what === "object") throw { statusCode: 429, message: "Enough." } as unknown as Error;
    if (what === "basic") void reply.header("www-authenticate", 'Basic realm="x"');
    throw withStatus(Number.parseInt(String(what)) || 401, "Said so.");
  });
}

describe("routes of the user's own", () => {
  let server: Serving;
  beforeAll(async () => {
    server = await serve([echo], {
      configure(app) {
        addHooks(app);
        app.post("/mine", (request) => ({ got: request.body }));
        app.post("/mine/conflict", () => {
          throw withStatus(409, "It is there already.");
        });
        app.post("/mine/bug", () => {
          throw new Error("a bug of mine");
        });
        app.post(
          "/mine/checked",
          { schema: { body: { type: "object", required: ["name"], properties: { name: { type: "string" } } } } },
          () => "fine",
        );
      },
    });
  });
  afterAll(() => server.runtime.stop());

  test.each([
    ["/mine/conflict", "{}", 409, "It is there already."],
    ["/mine/checked", "{}", 400, "body must have required property 'name'"],
    ["/mine/bug", "{}", 500, "a bug of mine"],
  ])("%s fails as Fastify has it", async (path, body, statusCode, message) => {
    const response = await server.post(path, body);
    expect([response.status, await response.json()]).toMatchObject([statusCode, { statusCode, message }]);
  });

  test("read their bodies as Fastify does", async () => {
    expect(await (await server.post("/mine", '{"a":1}')).json()).toEqual({ got: { a: 1 } });
    expect((await server.post("/mine", "{")).status).toBe(400);
    expect((await server.post("/mine", "a,b", { "content-type": "text/csv" })).status).toBe(415);
  });

  test("that fail with a bug are logged", async () => {
    await server.post("/mine/bug", "{}", { "x-request-id": "bug-1" });
    const lines = server.lines.filter(({ level, fields }) => level === "error" && fields.requestId === "bug-1");
    expect(lines).toMatchObject([{ fields: { err: { message: "a bug of mine" } } }]);
  });

  test.each([
    ["401", 401, "unauthenticated"],
    ["403", 403, "unauthenticated"],
    ["404", 404, "not_found"],
    ["409", 409, "invalid_request"],
    ["418", 418, "invalid_request"],
    ["429", 429, "overloaded"],
    ["503", 503, "overloaded"],
  ])("hooks reach services, and a thrown %s stays one", async (what, status, code) => {
    for (const path of ["/echo", "/echo/batch", "/nobody", "/readyz"]) {
      const problem = await problemOf(await server.post(path, "1", { "x-throw": what }), status, code);
      expect(problem.detail).toBe("Said so.");
    }
  });

  test("headers that a hook set stay", async () => {
    const limited = await server.post("/echo", "1", { "x-throw": "limit" });
    expect(limited.headers.get("retry-after")).toBe("17");
    expect((await problemOf(limited, 429, "overloaded")).detail).toBe("Slow down.");
    const basic = await server.post("/echo", "1", { "x-throw": "basic" });
    expect(basic.headers.get("www-authenticate")).toBe('Basic realm="x"');
    await problemOf(basic, 401, "unauthenticated");
  });

  test("a status set on the reply, an error of ours, and what is none", async () => {
    expect((await problemOf(await server.post("/echo", "1", { "x-throw": "reply code" }), 409, "invalid_request")).detail).toBe(
      "By the reply.",
    );
    const ours = await server.post("/echo", "1", { "x-throw": "ours" });
    expect(ours.headers.get("retry-after")).toBe("2");
    for (const path of ["/echo", "/nobody"]) {
      expect((await problemOf(await server.post(path, "1", { "x-throw": "object" }), 429, "overloaded")).detail).toBe("Enough.");
    }
    await problemOf(ours, 503, "not_ready");
    for (const what of ["500", "text"]) {
      const problem = await problemOf(await server.post("/echo", "1", { "x-throw": what, "x-request-id": what }), 500, "internal");
      expect(JSON.stringify(problem)).not.toMatch(/Said so|a text/);
      expect(server.lines.filter(({ level, fields }) => level === "error" && fields.requestId === what)).toHaveLength(1);
    }
  });
});

test("the user's own handlers of errors and unknown paths are for the user's routes, and services keep theirs", async () => {
  await using server = await serve([echo], {
    configure(app) {
      app.setErrorHandler((error, _request, reply) => reply.code(418).send({ mine: (error as Error).message }));
      app.setNotFoundHandler((_request, reply) => reply.code(404).send({ mine: "not found" }));
      app.post("/mine", () => {
        throw new Error("mine");
      });
    },
  });
  expect(await (await server.post("/mine", "{}")).json()).toEqual({ mine: "mine" });
  expect(await (await server.post("/nobody", "{}")).json()).toEqual({ mine: "not found" });
  await problemOf(await server.post("/echo", "{"), 400, "invalid_request");
  await problemOf(await server.get("/echo"), 405, "method_not_allowed");
});

test("refusals have the time they took, hooks included", async () => {
  await using server = await serve([echo], {
    configure(app) {
      app.addHook("onRequest", async () => {
        await new Promise((resolve) => setTimeout(resolve, 30));
      });
    },
  });
  await server.get("/echo");
  await server.post("/nobody");
  await server.post("/echo", "1", { origin: "https://evil.example" });
  expect(server.events.map(({ outcome }) => outcome)).toEqual(["method_not_allowed", "not_found", "unauthenticated"]);
  for (const { totalMs } of server.events) expect(totalMs).toBeGreaterThan(25);
});
