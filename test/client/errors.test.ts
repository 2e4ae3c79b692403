import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { createClient, ServableError } from "../../src/client.ts";
import { retryDelay } from "../../src/client/exchange.ts";
import type * as services from "./services.ts";
import { sendJson, sendProblem, startWireServer } from "./wire-server.ts";

type Module = typeof services;

async function failureOf(url: string): Promise<ServableError> {
  const thrown: unknown = await createClient<Module>(url, { retries: 0 })
    .double({ x: 1 })
    .catch((error: unknown) => error);
  if (!ServableError.isInstance(thrown)) throw new Error("it did not fail as it should");
  return thrown;
}

describe("a problem document", () => {
  test("becomes the error that it tells of, field paths and details too", async () => {
    await using server = await startWireServer((_arrival, response) =>
      sendProblem(response, {
        type: "https://example.org/errors#invalid_request",
        title: "Invalid request",
        status: 400,
        detail: "The input does not fit the service's schema.",
        code: "invalid_request",
        requestId: "r-7",
        accepted: ["application/json"],
        errors: [
          { path: "items[0].x", pointer: "/items/0/x", detail: "must be a number" },
          { path: '["a/b"]["2024"]["m~n"]', pointer: "/a~1b/2024/m~0n", detail: "is too old" },
          { path: "(the value)", pointer: "", detail: "is empty" },
          { pointer: "#/gr%C3%B6%C3%9Fe/0", detail: "is a fragment" },
        ],
      }),
    );
    const error = await failureOf(server.url);
    expect(error).toMatchObject({
      code: "invalid_request",
      message: "The input does not fit the service's schema.",
      requestId: "r-7",
      details: { accepted: ["application/json"] },
    });
    expect(error.issues).toEqual([
      { path: ["items", 0, "x"], message: "must be a number" },
      { path: ["a/b", "2024", "m~n"], message: "is too old" },
      { path: [], message: "is empty" },
      { path: ["größe", 0], message: "is a fragment" },
    ]);
    expect(Object.keys(error.details)).toEqual(["accepted"]);
  });

  test("of an unknown code is read by its status", async () => {
    await using server = await startWireServer((_arrival, response) =>
      sendProblem(response, { status: 404, code: "of_the_future", title: "Gone" }),
    );
    expect(await failureOf(server.url)).toMatchObject({ code: "not_found", message: "Gone" });
  });

  test("tells when to try again, in seconds or as a date", async () => {
    const soon = new Date(Date.now() + 3_600_000).toUTCString();
    await using server = await startWireServer(({ path }, response) =>
      sendProblem(response, { status: 503, code: "overloaded" }, { "retry-after": path.startsWith("/date") ? soon : "2" }),
    );
    expect((await failureOf(server.url)).retryAfterMs).toBe(2000);
    const { retryAfterMs } = await failureOf(`${server.url}/date`);
    expect(retryAfterMs).toBeGreaterThan(3_000_000);
    expect(retryAfterMs).toBeLessThanOrEqual(3_600_000);
  });
});

test.each([
  [400, "invalid_request"],
  [401, "unauthenticated"],
  [403, "unauthenticated"],
  [404, "not_found"],
  [405, "method_not_allowed"],
  [406, "not_acceptable"],
  [408, "request_timeout"],
  [413, "payload_too_large"],
  [415, "unsupported_media_type"],
  [422, "invalid_request"],
  [429, "overloaded"],
  [500, "internal"],
  [502, "unavailable"],
  [503, "unavailable"],
  [504, "deadline_exceeded"],
])("a bare %i is %s", async (status, code) => {
  await using server = await startWireServer((_arrival, response) => {
    response.writeHead(status, { "content-type": "text/html", "x-request-id": "proxy-1" }).end("<h1>oh</h1>");
  });
  const error = await failureOf(server.url);
  expect(error).toMatchObject({ code, requestId: "proxy-1", details: { status } });
  expect(error.message).toMatch(new RegExp(`answered ${status} .*without a problem document\\.$`));
});

test("a bare answer's text is shown, in part", async () => {
  await using server = await startWireServer((_arrival, response) => {
    response.writeHead(500, { "content-type": "text/plain" }).end(`upstream gone ${"x".repeat(500)}`);
  });
  const { message } = await failureOf(server.url);
  expect(message).toMatch(/document: upstream gone x+…$/);
  expect(message.length).toBeLessThan(300);
});

describe("a connection that fails", () => {
  test("is unavailable and says why", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const error = await failureOf(`http://127.0.0.1:${port}/prefix`);
    expect(error.code).toBe("unavailable");
    expect(error.message).toBe(
      `Could not reach http://127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}. Nothing listens there: start the server, or check the port.`,
    );
    expect(error.cause).toBeInstanceOf(Error);
  });

  test("in the middle of an answer is unavailable too, and is not tried again", async () => {
    await using server = await startWireServer((_arrival, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
      response.write('{"y":', () => response.destroy());
    });
    await expect(createClient<Module>(server.url).double({ x: 1 })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/answer from http.* broke off/),
    });
    expect(server.arrivals).toHaveLength(1);
  });

  test("before an answer is not tried again: the work may have been done", async () => {
    await using server = await startWireServer((_arrival, response) => void response.destroy());
    await expect(createClient<Module>(server.url).double({ x: 1 })).rejects.toMatchObject({ code: "unavailable" });
    expect(server.arrivals).toHaveLength(1);
  });
});

describe("a call that ends early", () => {
  test("by its time-out is deadline_exceeded, before and after the head of the answer", async () => {
    await using server = await startWireServer(({ path }, response) => {
      if (path.startsWith("/head")) response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
    });
    for (const url of [server.url, `${server.url}/head`]) {
      await expect(createClient<Module>(url).double({ x: 1 }, { timeoutMs: 100, requestId: "q" })).rejects.toMatchObject({
        code: "deadline_exceeded",
        message: `double at ${server.url} gave no answer within 100 ms.`,
        requestId: "q",
      });
    }
  });

  test("by its caller is cancelled, with the cause kept, and the server sees it go", async () => {
    const controller = new AbortController();
    const reason = new Error("no longer needed");
    const closed: boolean[] = [];
    let sawClose: () => void = () => {};
    const close = new Promise<void>((resolve) => (sawClose = resolve));
    await using server = await startWireServer((_arrival, response) => {
      response.on("close", () => {
        closed.push(response.writableFinished);
        sawClose();
      });
      controller.abort(reason);
    });
    const call = createClient<Module>(server.url).double({ x: 1 }, { signal: controller.signal });
    await expect(call).rejects.toMatchObject({ code: "cancelled", cause: reason });
    await close;
    expect(closed).toEqual([false]);
  });

  test("by a signal that was aborted before is never sent", async () => {
    await using server = await startWireServer((_arrival, response) => sendJson(response, {}));
    const call = createClient<Module>(server.url).double({ x: 1 }, { signal: AbortSignal.abort() });
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
    expect(server.arrivals).toEqual([]);
  });

  test("does so whatever its fetch or its token function wait for", async () => {
    const never = new Promise<never>(() => {});
    const stuckFetch = createClient<Module>("http://host", { fetch: () => never, timeoutMs: 20 });
    const stuckToken = createClient<Module>("http://host", { token: () => never, timeoutMs: 20 });
    await expect(stuckFetch.double({ x: 1 })).rejects.toMatchObject({ code: "deadline_exceeded" });
    await expect(stuckToken.double({ x: 1 })).rejects.toMatchObject({ code: "deadline_exceeded" });
  });
});

test("a token function that fails is unauthenticated, with the cause kept", async () => {
  const cause = new Error("no session");
  const client = createClient<Module>("http://127.0.0.1:9", { token: () => Promise.reject(cause) });
  await expect(client.double({ x: 1 })).rejects.toMatchObject({
    code: "unauthenticated",
    cause,
    message: expect.stringContaining("no session"),
  });
});

describe("retries", () => {
  function turnedAway(times: number, code: string, retryAfter: string | undefined) {
    let count = 0;
    return startWireServer((_arrival, response) => {
      if (count++ >= times) sendJson(response, { y: 2 });
      else
        sendProblem(
          response,
          { status: 503, code, detail: `turned away ${count}` },
          retryAfter === undefined ? {} : { "retry-after": retryAfter },
        );
    });
  }

  test.each(["overloaded", "not_ready"])("send a call again that was turned away (%s)", async (code) => {
    await using server = await turnedAway(2, code, "0");
    await expect(createClient<Module>(server.url).double({ x: 1 })).resolves.toEqual({ y: 2 });
    expect(server.arrivals.map(({ body }) => body.toString())).toEqual(['{"x":1}', '{"x":1}', '{"x":1}']);
  });

  test("back off where the server does not say when", async () => {
    await using server = await turnedAway(1, "overloaded", undefined);
    await expect(createClient<Module>(server.url).double({ x: 1 })).resolves.toEqual({ y: 2 });
  });

  test("end with the last error", async () => {
    await using server = await turnedAway(9, "overloaded", "0");
    await expect(createClient<Module>(server.url).double({ x: 1 })).rejects.toMatchObject({ code: "overloaded", message: "turned away 3" });
    await expect(createClient<Module>(server.url).double({ x: 1 }, { retries: 0 })).rejects.toMatchObject({ message: "turned away 4" });
    await expect(createClient<Module>(server.url, { retries: 1 }).double({ x: 1 })).rejects.toMatchObject({ message: "turned away 6" });
  });

  test("don't wait past the time-out", async () => {
    await using server = await turnedAway(1, "overloaded", "60");
    await expect(createClient<Module>(server.url).double({ x: 1 })).rejects.toMatchObject({ code: "overloaded", retryAfterMs: 60_000 });
    expect(server.arrivals).toHaveLength(1);
  });

  test("stop waiting when the caller cancels", async () => {
    await using server = await turnedAway(1, "overloaded", "20");
    const controller = new AbortController();
    const call = createClient<Module>(server.url).double({ x: 1 }, { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
    expect(server.arrivals.length).toBeLessThanOrEqual(1);
  });

  test.each(["service_failed", "worker_crashed", "deadline_exceeded", "unavailable"])(
    "leave %s alone: the work may have begun",
    async (code) => {
      await using server = await turnedAway(1, code, "0");
      await expect(createClient<Module>(server.url).double({ x: 1 })).rejects.toMatchObject({ code });
      expect(server.arrivals).toHaveLength(1);
    },
  );

  test("wait longer each time, never less than the server asks, and spread", () => {
    const bare = new ServableError("overloaded", "");
    expect([0, 1, 2, 20].map((attempt) => retryDelay(bare, attempt, 0))).toEqual([50, 100, 200, 2500]);
    expect([0, 1, 2, 20].map((attempt) => retryDelay(bare, attempt, 1))).toEqual([100, 200, 400, 5000]);
    const asked = new ServableError("not_ready", "", { retryAfterMs: 1000 });
    expect([retryDelay(asked, 3, 0), retryDelay(asked, 3, 1)]).toEqual([1000, 1250]);
    expect(retryDelay(new ServableError("internal", "", { retryAfterMs: 1 }), 0, 0)).toBeUndefined();
  });
});
