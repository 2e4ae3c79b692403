import { once } from "node:events";
import { ServableError, defineService } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { openRaw, problemOf, serve, until, type Serving } from "../../support/serving.ts";

const inline = { placement: "inline" } as const;
const services = [
  defineService({
    name: "double",
    input: z.object({ x: z.number(), deep: z.array(z.object({ y: z.string() })).optional() }),
    output: z.object({ y: z.number() }),
    call: ({ x }) => ({ y: 2 * x }),
  }),
  defineService({ name: "small", policy: { maxBodyBytes: 1000 }, call: (value) => value }),
  defineService({ name: "echo", call: (value) => value }),
  defineService({
    name: "hurl",
    policy: inline,
    call(what): never {
      switch (what) {
        case "error":
          throw new Error("secret of /work/main/node_modules/x.js:1");
        case "text":
          throw "a text";
        case "undefined":
          throw undefined;
        case "object":
          throw Object.create(null);
        case "abort":
          throw new DOMException("aborted", "AbortError");
        case "own code":
          throw new ServableError("not_found", "No such voice.", { details: { voice: "ada", code: "no", status: 1 } });
        case "inner code":
          throw new ServableError("invalid_config", "The file /etc/servable.yaml is wrong.");
        default:
          throw new ServableError("overloaded", "Later.", { retryAfterMs: 1500 });
      }
    },
  }),
  defineService({ name: "wrong-output", output: z.object({ y: z.number() }), call: () => ({ y: "no" }) as never }),
  defineService({ name: "nan", call: () => ({ list: [1, NaN] }) }),
  defineService({ name: "function", call: () => () => 1 }),
];

let server: Serving;
beforeAll(async () => {
  server = await serve(services);
});
afterAll(() => server.runtime.stop());

describe("a body that is not JSON", () => {
  test.each([
    ["{", /line 1, column 2/],
    ["{'x': 1}", /single quotes/],
    ['{"x": 1,}', /comma/],
    ["<html></html>", /line 1, column 1/],
    ['{"x": NaN}', /NaN is not JSON/],
    ['{"x": Infinity}', /Infinity is not JSON/],
    ['{"x": undefined}', /undefined is not JSON/],
    ["null null", /nothing more/],
  ])("%j", async (body, detail) => {
    const problem = await problemOf(await server.post("/double", body), 400, "invalid_request");
    expect(problem.detail).toMatch(detail);
  });

  test("bytes that are no text", async () => {
    const problem = await problemOf(await server.post("/double", new Uint8Array([0xff, 0xfe, 0x7b])), 400, "invalid_request");
    expect(problem.detail).toMatch(/UTF-8/);
  });

  test.each([
    ["", undefined],
    ["   \n", undefined],
    ["", "chunked"],
  ])("nothing (%j %s)", async (body, encoding) => {
    const stream = new ReadableStream({
      start(controller) {
        controller.close();
      },
    });
    const response = await server.post("/double", encoding === undefined ? body : stream, { "content-type": "application/json" });
    expect((await problemOf(response, 400, "invalid_request")).detail).toBe("The body is empty; send a JSON value.");
  });

  test("nothing at all, and no content type", async () => {
    await problemOf(await fetch(`${server.url}/double`, { method: "POST" }), 400, "invalid_request");
  });
});

describe("a value that does not fit", () => {
  test("names each failing field, as a path and as a pointer", async () => {
    const body = JSON.stringify({ x: "1", deep: [{ y: "ok" }, { y: 2 }] });
    const problem = await problemOf(await server.post("/double", body), 400, "invalid_request");
    expect(problem.errors).toEqual([
      { path: "x", pointer: "#/x", detail: expect.stringContaining("number") as string },
      { path: "deep[1].y", pointer: "#/deep/1/y", detail: expect.stringContaining("string") as string },
    ]);
  });

  test.each(["null", "1", '"x"', "[]"])("%s is not an object", async (body) => {
    const problem = await problemOf(await server.post("/double", body), 400, "invalid_request");
    expect(problem.errors).toEqual([{ path: "(the value)", pointer: "#", detail: expect.any(String) as string }]);
  });

  test.each(["1e999", "-1e999", `1${"0".repeat(400)}`])("a number out of range: %s", async (number) => {
    const problem = await problemOf(await server.post("/echo", `{"a":[0,${number}]}`), 400, "invalid_request");
    expect(problem.errors).toEqual([{ path: "a[1]", pointer: "#/a/1", detail: expect.stringContaining("out of range") as string }]);
  });

  test.each([
    '{"__proto__": {"admin": true}}',
    '{"a": [{"__proto__": 1}]}',
    '{"constructor": {"prototype": {"admin": true}}}',
    '{"\\u005f_proto__": 1}',
  ])("a key that would change prototypes: %s", async (body) => {
    await problemOf(await server.post("/echo", body), 400, "invalid_request");
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  test("nested a hundred thousand deep", async () => {
    await problemOf(await server.post("/echo", "[".repeat(100_000)), 400, "invalid_request");
    await problemOf(await server.post("/echo", "[".repeat(100_000) + "]".repeat(100_000)), 400, "invalid_request");
  });

  test("a thousand failing fields are not answered with a thousand lines", async () => {
    const deep = Array.from({ length: 1000 }, () => ({ y: 1 }));
    const problem = await problemOf(await server.post("/double", JSON.stringify({ x: 1, deep })), 400, "invalid_request");
    expect((problem.errors as unknown[]).length).toBeLessThanOrEqual(100);
  });
});

describe("media types", () => {
  test.each(["text/xml", "image/png", "application/x-www-form-urlencoded", "application/jsonx"])(
    "%s is not taken, and what is, is listed",
    async (type) => {
      const problem = await problemOf(await server.post("/double", "x=1", { "content-type": type }), 415, "unsupported_media_type");
      expect(problem.accepted).toEqual(["application/json", "application/*+json"]);
    },
  );

  test.each(["json", "/", ";", "application/", "a b/c", "application/json;;;=", "é/ü"])(
    "a malformed one (%j) does no harm",
    async (type) => {
      const response = await server.post("/double", '{"x":1}', { "content-type": Buffer.from(type).toString("latin1") });
      if (response.status === 200) expect(await response.json()).toEqual({ y: 2 });
      else
        expect(await problemOf(response, 415, "unsupported_media_type")).toMatchObject({
          accepted: ["application/json", "application/*+json"],
        });
    },
  );

  test.each(["application/json", "application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])(
    "%s is taken",
    async (type) => {
      const response = await server.post("/double", '{"x":1}', { "content-type": type });
      expect(await response.json()).toEqual({ y: 2 });
    },
  );

  test.each(["image/png", "text/html", "application/json;q=0", "application/*;q=0"])(
    "an answer as %s is not to be had, and what is, is listed",
    async (accept) => {
      const problem = await problemOf(
        await server.post("/double", '{"x":1}', { "content-type": "application/json", accept }),
        406,
        "not_acceptable",
      );
      expect(problem.available).toContain("application/json");
    },
  );

  test.each(["", "*/*", "application/*", "text/html, */*;q=0.1", "application/json;q=0.5"])("accept: %j", async (accept) => {
    const response = await server.post("/double", '{"x":1}', { "content-type": "application/json", accept });
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(await response.json()).toEqual({ y: 2 });
  });
});

describe("too large", () => {
  test("told by its length, before any of it is read", async () => {
    const problem = await problemOf(await server.post("/small", `"${"x".repeat(2000)}"`), 413, "payload_too_large");
    expect(problem.maxBodyBytes).toBe(1000);
    expect(server.events.at(-1)).toMatchObject({ outcome: "payload_too_large", stages: [] });
  });

  test("found while it is read", async () => {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(400).fill(0x20));
        sent += 1;
        if (sent === 20) controller.close();
      },
    });
    const problem = await problemOf(await server.post("/small", body), 413, "payload_too_large");
    expect(problem.maxBodyBytes).toBe(1000);
  });

  test("a byte less is taken", async () => {
    const text = `"${"x".repeat(998)}"`;
    expect(await (await server.post("/small", text)).text()).toBe(text);
    await problemOf(await server.post("/small", `${text} `), 413, "payload_too_large");
  });

  test("the default is 16 MiB", async () => {
    await problemOf(await server.post("/echo", " ".repeat(16 * 1024 * 1024 + 1)), 413, "payload_too_large");
    const text = `"${"x".repeat(16 * 1024 * 1024 - 2)}"`;
    const response = await server.post("/echo", text);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(text);
  });

  test.each([
    ["a body without a length", "POST /small HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", "413"],
    ["a body with a length", `POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: ${10 ** 12}\r\n\r\n`, "413"],
    ["a body for nobody", "POST /nobody HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", "404"],
    ["a body where none belongs", `GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: ${10 ** 12}\r\n\r\n`, "200"],
  ])("%s is answered, and what comes then is not taken for ever", { timeout: 60_000 }, async (_name, head, status) => {
    using sender = await openRaw(server.port);
    const part = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(0x10000, 0x20), Buffer.from("\r\n")]);
    sender.write(head);
    sender.write(part);
    await until(() => sender.received().startsWith(`HTTP/1.1 ${status}`), "the answer");
    let sent = 0;
    while (!sender.socket.destroyed && sent < 2_000) {
      sent += 1;
      if (sender.socket.write(part)) await new Promise((resolve) => setImmediate(resolve));
      else await Promise.race([once(sender.socket, "drain").catch(() => "cut off"), sender.closed]);
    }
    expect(sent).toBeLessThan(2_000);
  });

  test("a sender who just goes slowly is cut off in the end", { timeout: 20_000 }, async () => {
    using sender = await openRaw(server.port);
    sender.write("POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nx");
    expect(await sender.closed).toMatch(/^HTTP\/1.1 413/);
  });

  test("a connection whose body came to its end is kept", async () => {
    using sender = await openRaw(server.port);
    sender.write(`POST /small HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n${" ".repeat(100_000)}`);
    await until(() => sender.received().includes("413"), "the answer");
    sender.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => sender.received().includes("alive"), "the next one");
  });

  test("an unknown route does not read its body", async () => {
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65_536).fill(0x20));
      },
    });
    await problemOf(await server.post("/nobody", body), 404, "not_found");
  });
});

describe("the wrong way", () => {
  test.each(["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])("%s /double says what is allowed", async (method) => {
    const response = await server.get("/double", { method });
    expect(response.headers.get("allow")).toBe("POST");
    expect((await problemOf(response, 405, "method_not_allowed")).detail).toBe(`/double takes POST, not ${method}.`);
  });

  test("HEAD /double, too, without a body", async () => {
    const response = await server.get("/double", { method: "HEAD" });
    expect([response.status, response.headers.get("allow"), await response.text()]).toEqual([405, "POST", ""]);
  });

  test.each(["/readyz", "/livez", "/startupz", "/metrics", "/openapi.json", "/"])("POST %s", async (path) => {
    const response = await server.post(path, "{}");
    expect(response.headers.get("allow")).toBe("GET, HEAD");
    await problemOf(response, 405, "method_not_allowed");
  });

  test.each([
    "/nobody",
    "/nobody/batch",
    "/double/",
    "/double/batch/x",
    "/double/x",
    "/%E0%A4%A",
    "/a%00b",
    "/constructor",
    "/__proto__",
    "/toString",
  ])("%s is not found or refused, and what there is, is listed", async (path) => {
    const response = await server.post(path, '{"x":1}');
    if (response.status === 400) {
      await problemOf(response, 400, "invalid_request");
    } else {
      const problem = await problemOf(response, 404, "not_found");
      expect(problem.services).toEqual(services.map(({ name }) => name));
      expect(problem.detail).toContain("double");
    }
  });

  test("bad JSON on an unknown route is still an unknown route", async () => {
    await problemOf(await server.post("/nobody", "{"), 404, "not_found");
  });

  test("a very long path is shown in part only", async () => {
    const problem = await problemOf(await server.post(`/${"a".repeat(5000)}`), 404, "not_found");
    expect(String(problem.detail).length).toBeLessThan(300);
  });
});

describe("a service that fails", () => {
  test.each(["error", "text", "undefined", "object", "abort"])("by throwing (%s)", async (what) => {
    const problem = await problemOf(await server.post("/hurl", JSON.stringify(what)), 500, "service_failed");
    expect(problem.detail).toBe("The service failed. Its log tells more, under this request id.");
    const line = server.lines.find(({ fields }) => fields.requestId === problem.requestId);
    expect(line).toMatchObject({ level: "error", fields: { service: "hurl", stage: "call", outcome: "service_failed" } });
  });

  test("on purpose: its code, its message and its details, which can't hide the standard ones", async () => {
    const problem = await problemOf(await server.post("/hurl", '"own code"'), 404, "not_found");
    expect(problem).toMatchObject({ detail: "No such voice.", voice: "ada" });
  });

  test("with a code of the inside: nothing of it is told", async () => {
    const problem = await problemOf(await server.post("/hurl", '"inner code"'), 500, "service_failed");
    expect(JSON.stringify(problem)).not.toContain("yaml");
  });

  test("for now: when to come again", async () => {
    const response = await server.post("/hurl", '"later"');
    expect(response.headers.get("retry-after")).toBe("2");
    await problemOf(response, 503, "overloaded");
  });

  test("by giving what its output schema refuses", async () => {
    const problem = await problemOf(await server.post("/wrong-output"), 500, "invalid_output");
    expect(problem.errors).toMatchObject([{ path: "y" }]);
    expect(server.lines.at(-1)?.fields).toMatchObject({ stage: "validate" });
  });

  test("by giving what JSON can't hold", async () => {
    const problem = await problemOf(await server.post("/nan"), 500, "serialization_failed");
    expect(problem.errors).toMatchObject([{ path: "list[1]" }]);
    await problemOf(await server.post("/function"), 500, "serialization_failed");
    expect(server.lines.at(-1)?.fields).toMatchObject({ stage: "serialize" });
  });

  test("still serves the next one", async () => {
    expect(await (await server.post("/echo", "[1]")).json()).toEqual([1]);
  });
});
