import { defineService, streamOf, type ServableError } from "servable";
import { fetchHandler, type FetchHandler } from "servable/http";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { pathToFileURL } from "node:url";
import { setTimeout as pause } from "node:timers/promises";
import { builtFixture } from "../../support/fixtures.ts";
import { deferred, keepLog, problemOf, until, type LogLine } from "../../support/serving.ts";

const log: string[] = [];
const module = pathToFileURL(builtFixture("test/fixtures/worker-services.ts")).href;
const services = [
  defineService({
    name: "double",
    input: z.object({ x: z.number() }),
    output: z.object({ y: z.number() }),
    setup: () => void log.push("setup"),
    call: ({ x }) => ({ y: 2 * x }),
    close: () => void log.push("close"),
  }),
  defineService({ name: "metadata", call: (_value, { metadata }) => ({ ...metadata }) }),
  defineService({ name: "small", policy: { maxBodyBytes: 10 }, call: (value) => value }),
  defineService({
    name: "patient",
    async *call(_value, { signal }) {
      yield "begun";
      log.push("waiting");
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          log.push(`aborted ${(signal.reason as ServableError).code}`);
          resolve();
        });
      });
    },
  }),
  defineService({
    name: "wait",
    async call(_value, { signal }) {
      log.push("begun");
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          log.push(`aborted ${(signal.reason as ServableError).code}`);
          resolve();
        });
      });
    },
  }),
  defineService({
    name: "total",
    input: streamOf(z.number()),
    async call(items) {
      let sum = 0;
      for await (const item of items) sum += item;
      return sum;
    },
  }),
  defineService({ name: "fail", call: () => Promise.reject(new Error("secret")) }),
];

const handle: FetchHandler = fetchHandler(services, { basePath: "/api/ml/" });
afterAll(() => handle.close());
beforeEach(() => {
  log.length = 0;
});

const post = (path: string, body: RequestInit["body"], init: RequestInit = {}): Promise<Response> =>
  handle(
    new Request(`http://host.test/api/ml${path}`, {
      method: "POST",
      body: body ?? null,
      ...init,
      headers: { "content-type": "application/json", ...(init.headers as Record<string, string>) },
    }),
  );

describe("a fetch handler", () => {
  test("answers calls, lists and health under its base path", async () => {
    const response = await post("/double", '{"x":2}', { headers: { "x-request-id": "r-1" } });
    expect([response.status, response.headers.get("x-request-id"), await response.json()]).toEqual([200, "r-1", { y: 4 }]);
    expect(await (await post("/double/batch", '[{"x":2},{}]')).json()).toMatchObject([
      { output: { y: 4 } },
      { error: { code: "invalid_request" } },
    ]);
    for (const path of ["livez", "startupz", "readyz", "openapi.json"]) {
      const answer = await handle(new Request(`http://host.test/api/ml/${path}`));
      expect([answer.status, answer.headers.has("x-request-id")]).toEqual([200, true]);
    }
  });

  test("refuses as the runtime does", async () => {
    await problemOf(await post("/double", "{"), 400, "invalid_request");
    await problemOf(await post("/double", '{"x":"1"}'), 400, "invalid_request");
    await problemOf(await post("/fail", "1"), 500, "service_failed");
    await problemOf(await post("/double", "1", { headers: { "content-type": "text/csv" } }), 415, "unsupported_media_type");
    await problemOf(await post("/double", "1", { headers: { accept: "image/png" } }), 406, "not_acceptable");
    await problemOf(await post("/small", '"0123456789"'), 413, "payload_too_large");
    await problemOf(await post("/small", '"0123456789"', { headers: { "content-length": "12" } }), 413, "payload_too_large");
    await problemOf(await post("/double", null), 400, "invalid_request");
    const unknown = await problemOf(await post("/nobody", "1"), 404, "not_found");
    expect(unknown.services).toContain("double");
    await problemOf(await handle(new Request("http://host.test/double", { method: "POST", body: "1" })), 404, "not_found");
    await problemOf(await handle(new Request("http://host.test/api/mlx/double", { method: "POST", body: "1" })), 404, "not_found");
    const wrong = await handle(new Request("http://host.test/api/ml/double"));
    expect(wrong.headers.get("allow")).toBe("POST");
    await problemOf(wrong, 405, "method_not_allowed");
  });

  test("passes headers on, without secrets", async () => {
    const response = await post("/metadata", "1", { headers: { "x-team": "a", authorization: "Bearer s3cret", cookie: "s3cret" } });
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ "x-team": "a" });
    expect(text).not.toContain("s3cret");
  });

  test("streams items as they are made, and a reader who leaves aborts the signal", async () => {
    const response = await post("/patient", "null");
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('"begun"\n');
    const waiting = reader.read().catch(() => undefined);
    await until(() => log.includes("waiting"), "the next item to be asked for");
    void reader.cancel();
    await until(() => log.length > 1, "the abort");
    expect(log).toEqual(["waiting", "aborted cancelled"]);
    await waiting;
  });

  test.each(["/wait", "/patient"])("an aborted request aborts the signal (%s)", async (path) => {
    const aborter = new AbortController();
    const answering = post(path, "null", { signal: aborter.signal });
    if (path === "/patient") {
      const reader = (await answering).body!.getReader();
      await reader.read();
      await until(() => log.includes("waiting"), "the next item to be asked for");
      aborter.abort();
      await reader.read().catch(() => undefined);
    } else {
      await until(() => log.includes("begun"), "the call");
      aborter.abort();
      await problemOf(await answering, 499, "cancelled");
    }
    await until(() => log.includes("aborted cancelled"), "the abort");
  });

  test("a request that was aborted before is not run", async () => {
    await problemOf(await post("/wait", "null", { signal: AbortSignal.abort() }), 499, "cancelled");
    expect(log).toEqual([]);
  });

  test("takes a stream", async () => {
    const { promise, resolve } = deferred<ReadableStreamDefaultController>();
    const answering = post("/total", new ReadableStream({ start: resolve }), {
      headers: { "content-type": "application/x-ndjson" },
      duplex: "half",
    });
    const controller = await promise;
    controller.enqueue(new TextEncoder().encode("1\n2"));
    controller.enqueue(new TextEncoder().encode("0\n"));
    controller.close();
    expect(await (await answering).json()).toBe(21);
  });

  test("sets up at the first request or at start, once, and closes once", async () => {
    const own = fetchHandler(services[0]!);
    expect(log).toEqual([]);
    await Promise.all([own.start(), own(new Request("http://host.test/readyz")), own(new Request("http://host.test/readyz"))]);
    expect(log).toEqual(["setup"]);
    await Promise.all([own.close(), own.close(), own.close()]);
    expect(log).toEqual(["setup", "close"]);
    const late = await own(
      new Request("http://host.test/double", { method: "POST", body: "1", headers: { "content-type": "application/json" } }),
    );
    await problemOf(late, 503, "not_ready");
  });

  test("whose services can't be set up says so to who starts it, and nothing of it to a client", async () => {
    const bad = defineService({ name: "bad", setup: () => Promise.reject(new Error("no file /etc/secret")), call: () => 1 });
    const lines: LogLine[] = [];
    const own = fetchHandler(bad, { log: keepLog(lines) });
    await expect(own.start()).rejects.toMatchObject({ code: "load_failed" });
    const refused = await own(new Request("http://host.test/bad", { method: "POST", body: "1" }));
    expect(refused.headers.get("retry-after")).toBe("1");
    const problem = await problemOf(refused, 503, "not_ready");
    expect(JSON.stringify(problem)).not.toContain("secret");
    const failures = lines.filter(({ level }) => level === "error");
    expect(failures).toMatchObject([{ fields: { err: { code: "load_failed", message: expect.stringContaining("secret") as string } } }]);
    expect(lines.at(-1)).toMatchObject({ message: "request refused", fields: { outcome: "not_ready" } });

    for (const [path, status] of [
      ["livez", 200],
      ["startupz", 503],
      ["readyz", 503],
      ["openapi.json", 200],
    ] as const) {
      const answer = await own(new Request(`http://host.test/${path}`));
      const text = await answer.text();
      expect([path, answer.status]).toEqual([path, status]);
      expect(text).not.toContain("secret");
      if (path === "readyz") expect(JSON.parse(text)).toMatchObject({ reason: expect.stringContaining("could not be set up") as string });
      if (path === "openapi.json") expect(Object.keys((JSON.parse(text) as { paths: object }).paths)).toContain("/bad");
    }
    await own.close();
    await problemOf(await own(new Request("http://host.test/bad", { method: "POST", body: "1" })), 503, "not_ready");
  });

  test("whose services could not be set up tries again, not too often, and one attempt at a time", async () => {
    const mended = deferred();
    let attempts = 0;
    let good = false;
    const flaky = defineService({
      name: "flaky",
      setup: async () => {
        attempts += 1;
        if (!good) throw new Error("not yet");
        await mended.promise;
      },
      call: () => attempts,
    });
    const own = fetchHandler(flaky, { log: keepLog() });
    const call = (): Promise<Response> =>
      own(new Request("http://host.test/flaky", { method: "POST", body: "1", headers: { "content-type": "application/json" } }));
    const failedAt = performance.now();
    await Promise.all([1, 2, 3].map(async () => problemOf(await call(), 503, "not_ready")));
    await problemOf(await call(), 503, "not_ready");
    if (performance.now() - failedAt < 1_000) expect(attempts).toBe(1);
    good = true;
    await pause(1_050);
    const before = attempts;
    const answers = [call(), call()];
    await until(() => attempts === before + 1, "the next attempt");
    // Health does not wait for it.
    expect((await own(new Request("http://host.test/readyz"))).status).toBe(503);
    mended.resolve();
    for (const answer of answers) expect(await (await answer).json()).toBe(before + 1);
    expect(await (await own(new Request("http://host.test/readyz"))).json()).toEqual(
      expect.objectContaining({ status: "ready", services: expect.anything() as unknown }),
    );
    await own.close();
  });

  test("whose modules can't be loaded says so, too", async () => {
    const own = fetchHandler({ module: "file:///nowhere/model.js" }, { log: keepLog() });
    expect((await own(new Request("http://host.test/readyz"))).status).toBe(503);
    await problemOf(await own(new Request("http://host.test/openapi.json")), 503, "not_ready");
    await problemOf(await own(new Request("http://host.test/model", { method: "POST", body: "1" })), 503, "not_ready");
    await own.close();
  });

  test("a health request begins the setup", async () => {
    const own = fetchHandler(services[0]!, { log: keepLog() });
    const health = async (): Promise<number> => (await own(new Request("http://host.test/readyz"))).status;
    await health();
    await until(() => log.includes("setup"), "the setup");
    await own.start();
    expect(await health()).toBe(200);
    await own.close();
    expect(await health()).toBe(503);
  });

  test("says in its document what it has", async () => {
    const { paths } = (await (await handle(new Request("http://host.test/api/ml/openapi.json"))).json()) as { paths: object };
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(["/double", "/readyz"]));
    expect(paths).not.toHaveProperty("/metrics");
  });

  test("closes at once though two wait for it", async () => {
    const own = fetchHandler(services);
    const aborter = new AbortController();
    const running = own(
      new Request("http://host.test/wait", {
        method: "POST",
        body: "1",
        headers: { "content-type": "application/json" },
        signal: aborter.signal,
      }),
    );
    await until(() => log.includes("begun"), "the call");
    const closing = Promise.all([own.close(20_000), own.close(20_000)]);
    aborter.abort();
    await running;
    const begin = performance.now();
    await closing;
    expect(performance.now() - begin).toBeLessThan(5_000);
  });

  test("runs services on threads, and takes nobody's array away", async () => {
    const own = fetchHandler({ service: { module, export: "total" }, policy: { placement: "thread" } });
    const line = new TextEncoder().encode('{"x":1}\n'.repeat(4_000));
    expect(line.byteLength).toBeGreaterThan(16 * 1024);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(line);
        controller.enqueue(line);
        controller.close();
      },
    });
    const response = await own(
      new Request("http://host.test/total", {
        method: "POST",
        body,
        duplex: "half",
        headers: { "content-type": "application/x-ndjson" },
      }),
    );
    expect(await response.json()).toEqual({ sum: 8_000 });
    expect(line.byteLength).toBe(32_000);
    await own.close();
  });
});
