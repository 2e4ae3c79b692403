import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { type ServableError, defineService } from "servable";
import { HttpRuntime } from "servable/http";
import { beforeEach, describe, expect, test } from "vitest";
import { deferred, keepLog, openRaw, parseAnswer, problemOf, serve, until } from "../../support/serving.ts";

const log: string[] = [];
let gate = deferred();
beforeEach(() => {
  log.length = 0;
  gate = deferred();
});

const hold = defineService({
  name: "hold",
  async call(value) {
    log.push("begun");
    await gate.promise;
    return value;
  },
  close: () => void log.push("closed"),
});
const big = defineService({
  name: "big",
  async call(value) {
    log.push("begun");
    await gate.promise;
    return { value, text: "x".repeat(3_000_000) };
  },
});
const deaf = defineService({
  name: "deaf",
  call: async () => {
    log.push("begun");
    await gate.promise;
    return "late";
  },
});
const polite = defineService({
  name: "polite",
  async call(_value, { signal }) {
    log.push("begun");
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
    });
    log.push(`aborted ${(signal.reason as ServableError).code}`);
    throw signal.reason as Error;
  },
});

/** Sends over one kept-alive connection. */
function post(agent: Agent, url: string, body: string): Promise<{ status: number; headers: IncomingMessage["headers"]; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method: "POST", agent, headers: { "content-type": "application/json" } }, (message) => {
      let text = "";
      message.setEncoding("utf8");
      message.on("data", (part: string) => (text += part));
      message.on("end", () => resolve({ status: message.statusCode ?? 0, headers: message.headers, text }));
      message.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

describe("health", () => {
  test("from the first moment to the last: starting, ready, stopping", async () => {
    const setup = deferred();
    const slow = defineService({ name: "slow", setup: () => setup.promise, call: () => 1 });
    const runtime = new HttpRuntime({ services: [slow, hold], port: 0, log: keepLog(), graceMs: 5_000 });
    const starting = runtime.start();
    const urlOf = (): string | undefined => {
      try {
        return runtime.url;
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: "not_ready" });
        return undefined;
      }
    };
    await until(() => urlOf() !== undefined, "the listener");
    const { url } = runtime;
    const health = async (path: string): Promise<unknown[]> => {
      const response = await fetch(url + path);
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("content-type")).toMatch(/^application\/json/);
      return [response.status, await response.json()];
    };
    expect(await health("/livez")).toEqual([200, { status: "alive" }]);
    expect(await health("/startupz")).toEqual([503, { status: "starting" }]);
    expect(await health("/readyz")).toMatchObject([
      503,
      { status: "starting", reason: "starting", services: { slow: { ready: 0, total: 1 } } },
    ]);
    const early = await fetch(`${url}/hold`, { method: "POST", body: "1", headers: { "content-type": "application/json" } });
    expect(early.headers.get("retry-after")).toBe("1");
    await problemOf(early, 503, "not_ready");

    setup.resolve();
    await starting;
    expect(await health("/startupz")).toEqual([200, { status: "started" }]);
    expect(await health("/readyz")).toEqual([
      200,
      {
        status: "ready",
        services: Object.fromEntries(
          ["slow", "hold"].map((name) => [
            name,
            { placement: "inline", ready: 1, total: 1, inFlight: 0, running: 0, queued: 0, expectedWaitMs: 0 },
          ]),
        ),
      },
    ]);
    expect((await fetch(`${url}/readyz`, { method: "HEAD" })).status).toBe(200);

    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const other = await openRaw(Number(new URL(url).port));
    other.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => other.received().includes("alive"), "a connection to keep");
    const held = post(agent, `${url}/hold`, "1");
    await until(() => log.includes("begun"), "the call");
    const stopping = runtime.stop();
    // What had come before is taken in first.
    await until(() => runtime.status?.state === "stopping", "the end of intake");
    other.write("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => other.received().includes("stopping"), "the answer");
    const answer = parseAnswer(other.received().slice(other.received().lastIndexOf("HTTP/1.1")));
    expect([answer.status, answer.headers.get("connection")]).toEqual([503, "close"]);
    gate.resolve();
    expect((await held).text).toBe("1");
    await stopping;
    await runtime.stopped;
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
    agent.destroy();
  });
});

describe("stop", () => {
  test("what is in flight over a kept connection finishes, new work is refused, and it is over at once then", async () => {
    const server = await serve([hold], { graceMs: 20_000 });
    const agent = new Agent({ keepAlive: true });
    const held = Array.from({ length: 20 }, (_, index) => post(agent, `${server.url}/hold`, String(index)));
    await until(() => log.length === 20, "all of them");
    using other = await openRaw(server.port);
    other.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => other.received().includes("alive"), "a connection to keep");

    const begin = performance.now();
    const stopping = server.runtime.stop();
    expect(server.runtime.stop()).toBe(stopping);
    await until(() => server.runtime.status?.state === "stopping", "the end of intake");
    expect(server.runtime.status).toMatchObject({ ready: false });
    await expect(fetch(`${server.url}/hold`, { method: "POST", body: "1" })).rejects.toThrow();
    other.write("POST /hold HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1");
    const answers = await other.closed;
    const refused = parseAnswer(answers.slice(answers.lastIndexOf("HTTP/1.1")));
    expect((await problemOf(refused, 503, "not_ready")).detail).toContain("shutting down");

    gate.resolve();
    const answered = await Promise.all(held);
    expect(answered.map(({ status, text }) => [status, text])).toEqual(Array.from({ length: 20 }, (_, index) => [200, String(index)]));
    expect(answered.every(({ headers }) => headers.connection === "close")).toBe(true);
    await stopping;
    await server.runtime.stopped;
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect(log.at(-1)).toBe("closed");
    expect(server.runtime.status).toMatchObject({ state: "stopped", ready: false });
    agent.destroy();
  });

  test("answers of megabytes get out to their last byte", async () => {
    const server = await serve([big], { graceMs: 20_000 });
    const agent = new Agent({ keepAlive: true });
    const held = Array.from({ length: 10 }, (_, index) => post(agent, `${server.url}/big`, String(index)));
    await until(() => log.length === 10, "all of them");
    const stopping = server.runtime.stop();
    gate.resolve();
    for (const [index, answer] of (await Promise.all(held)).entries()) {
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.text)).toEqual({ value: index, text: "x".repeat(3_000_000) });
    }
    await stopping;
    agent.destroy();
  });

  test("a list that was taken in is run to its end", async () => {
    const narrow = { service: hold, policy: { concurrency: 2 } };
    const server = await serve([narrow], { graceMs: 20_000 });
    const list = Array.from({ length: 10 }, (_, index) => index);
    const answering = server.post("/hold/batch", JSON.stringify(list));
    await until(() => log.length === 2, "the first items");
    const stopping = server.runtime.stop();
    gate.resolve();
    expect(await (await answering).json()).toEqual(list.map((output) => ({ output })));
    await stopping;
  });

  test("when the grace time is over, what runs gets its signal, and a client its answer", async () => {
    const server = await serve([polite], { graceMs: 50 });
    const answering = server.post("/polite");
    await until(() => log.length === 1, "the call");
    await server.runtime.stop();
    expect(log).toEqual(["begun", "aborted unavailable"]);
    const answer = await answering;
    // Begun is begun: a client must not be told to send it again.
    expect(answer.headers.get("retry-after")).toBeNull();
    expect((await problemOf(answer, 503, "unavailable")).detail).toBe("The server shut down before the request was done.");
  });

  test("when the grace time is over, what still waits may be sent again", async () => {
    const server = await serve([{ service: deaf, policy: { concurrency: 1 } }], { graceMs: 50 });
    const running = server.post("/deaf").catch(() => undefined);
    await until(() => log.length === 1, "the call");
    const waiting = server.post("/deaf");
    await until(() => server.runtime.status?.services.deaf?.queued === 1, "the queue");
    const stopping = server.runtime.stop();
    const answer = await waiting;
    expect(answer.headers.get("retry-after")).toBe("1");
    expect((await problemOf(answer, 503, "not_ready")).detail).toBe("The server shut down before the request was done.");
    gate.resolve();
    await stopping;
    await running;
  });

  test("a list still in hand when the grace time is over ends there", async () => {
    const server = await serve([{ service: polite, policy: { concurrency: 1 } }], { graceMs: 50 });
    const answering = server.post("/polite/batch", "[1,2,3]");
    await until(() => log.length === 1, "the first item");
    await server.runtime.stop();
    expect(log).toEqual(["begun", "aborted unavailable"]);
    expect(await (await answering).json()).toMatchObject(
      ["unavailable", "not_ready", "not_ready"].map((code) => ({ error: { code, status: 503 } })),
    );
  });

  test("does not wait for a service that hears nothing, nor for a client that reads nothing", async () => {
    const flood = defineService({
      name: "flood",
      async *call() {
        log.push("flooding");
        for (;;) yield await Promise.resolve("x".repeat(100_000));
      },
    });
    const server = await serve([deaf, flood], { graceMs: 50 });
    void server.post("/deaf").catch(() => undefined);
    const stuck = await openRaw(server.port);
    stuck.socket.pause();
    stuck.write("POST /flood HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nnull");
    await until(() => log.length === 2, "both");
    const begin = performance.now();
    await server.runtime.stop();
    expect(performance.now() - begin).toBeLessThan(8_000);
    expect(server.runtime.status?.services.flood?.running).toBe(0);
    expect(server.runtime.status?.services.deaf?.running).toBe(1);
    stuck.socket.destroy();
    gate.resolve();
  });

  test("before start, or twice, is no mistake; start after it is one", async () => {
    const runtime = new HttpRuntime({ services: [hold], port: 0, log: keepLog() });
    expect(runtime.status).toBeUndefined();
    expect(() => runtime.url).toThrow(expect.objectContaining({ code: "not_ready" }));
    await runtime.stop();
    await runtime.stop();
    await runtime.stopped;
    await expect(runtime.start()).rejects.toMatchObject({ code: "cancelled" });
  });

  test("in the middle of a start ends that: nothing listens, and what was set up is closed", async () => {
    const setup = deferred();
    let signalled = false;
    const slow = defineService({
      name: "slow",
      async setup({ signal }) {
        signal.addEventListener("abort", () => {
          signalled = true;
        });
        await setup.promise;
      },
      call: () => 1,
      close: () => void log.push("slow closed"),
    });
    const runtime = new HttpRuntime({ services: [slow], port: 0, log: keepLog(), graceMs: 100 });
    const starting = runtime.start();
    starting.catch(() => undefined);
    await until(() => runtime.status?.state === "starting", "the setup");
    const { url } = runtime;
    await runtime.stop();
    expect(signalled).toBe(true);
    setup.resolve();
    await expect(starting).rejects.toMatchObject({ code: "cancelled" });
    expect(log).toEqual(["slow closed"]);
    await expect(fetch(`${url}/livez`)).rejects.toThrow();
  });

  test.each([
    [0, keepLog()],
    [1, keepLog()],
    [2, keepLog()],
    [5, keepLog()],
    [10, keepLog()],
    [20, keepLog()],
    [0, undefined],
    [1, undefined],
  ])("%i microtasks after the start leaves nothing behind", async (turns, log) => {
    const runtime = new HttpRuntime({ services: [hold], port: 0, log, graceMs: 100 });
    const starting = runtime.start().then(
      () => "started",
      (thrown: unknown) => (thrown as ServableError).code,
    );
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    if (turns > 5) await new Promise((resolve) => setImmediate(resolve));
    await runtime.stop();
    expect(["started", "cancelled"]).toContain(await starting);
    expect(["stopped", undefined]).toContain(runtime.status?.state);
    let url: string | undefined;
    try {
      ({ url } = runtime);
    } catch {
      // It never listened.
    }
    if (url !== undefined) await expect(fetch(`${url}/livez`)).rejects.toThrow();
  });
});

describe("start", () => {
  test("is once", async () => {
    await using server = await serve([hold]);
    await expect(server.runtime.start()).rejects.toMatchObject({ code: "invalid_argument", message: "A runtime is started once." });
    expect((await server.get("/livez")).status).toBe(200);
  });

  test("on a taken port says which", async () => {
    const squatter = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => squatter.once("listening", resolve));
    const { port } = squatter.address() as AddressInfo;
    await expect(serve([hold], { port })).rejects.toMatchObject({
      code: "address_in_use",
      message: expect.stringContaining(`Port ${port} on 127.0.0.1 is taken`) as string,
    });
    await new Promise((resolve) => squatter.close(resolve));
    await (await serve([hold], { port })).runtime.stop();
  });

  test("on an address of another machine says so", async () => {
    await expect(serve([hold], { host: "192.0.2.1", allowUnauthenticated: true })).rejects.toMatchObject({ code: "address_in_use" });
  });

  test("that fails in a setup closes the listener and the services that were set up", async () => {
    const good = defineService({ name: "good", call: () => 1, close: () => void log.push("good closed") });
    const bad = defineService({ name: "bad", setup: () => Promise.reject(new Error("no model\nat /work/x.ts")), call: () => 1 });
    const runtime = new HttpRuntime({ services: [good, bad], port: 0, log: keepLog() });
    await expect(runtime.start()).rejects.toMatchObject({ code: "load_failed", message: "Service 'bad' could not be set up: no model" });
    expect(log).toEqual(["good closed"]);
    await expect(fetch(`${runtime.url}/livez`)).rejects.toThrow();
  });

  test.each([
    ["two services of one name", [hold, hold], /Two services are named 'hold'/],
    ["none", [], /no service to run/],
    ["what is no service", [{} as never], /must be a definition/],
    ["undefined", [undefined as never], /must be a definition/],
    ["an object for a thread", [{ service: hold, policy: { placement: "thread" as const } }], /runs on a thread, which constructs it anew/],
    ["an impossible policy", [{ service: hold, policy: { concurrency: 0 } }], /concurrency must be a whole number/],
  ])("of %s", async (_name, services, message) => {
    await expect(serve(services)).rejects.toMatchObject({ code: "invalid_config", message: expect.stringMatching(message) as string });
  });

  test.each([
    [{ port: -1 }, /port must be/],
    [{ port: 70_000 }, /port must be/],
    [{ graceMs: NaN }, /grace time/],
    [{ host: "0.0.0.0" }, /let anybody in/],
    [{ host: "::" }, /let anybody in/],
  ])("with %j is refused when it is made", (options, message) => {
    expect(() => new HttpRuntime({ services: [hold], ...options })).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringMatching(message) as string }),
    );
  });

  test("off loopback is possible on purpose", async () => {
    await using server = await serve([hold], { host: "0.0.0.0", allowUnauthenticated: true });
    expect((await fetch(`http://127.0.0.1:${server.port}/livez`)).status).toBe(200);
  });

  test.each(["localhost", "127.0.0.2"])("on %s", async (host) => {
    await using server = await serve([hold], { host });
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
  });
});
