import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { ServicePolicy } from "servable";
import { HttpRuntime, type HttpRuntimeOptions, type WorkerEvent } from "servable/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { keepLog, openRaw, problemOf, serve, until, type LogLine, type Serving } from "../support/serving.ts";

const module = pathToFileURL(builtFixture("test/fixtures/worker-services.ts")).href;
const crashLoop = pathToFileURL(builtFixture("test/fixtures/crash-loop.ts")).href;

interface Seeing {
  readonly server: Serving;
  readonly events: WorkerEvent[];
}
async function serveWorkers(services: HttpRuntimeOptions["services"], options: Partial<HttpRuntimeOptions> = {}): Promise<Seeing> {
  const events: WorkerEvent[] = [];
  return { server: await serve(services, { observers: [{ workerChanged: (event) => void events.push(event) }], ...options }), events };
}

describe.each(["thread", "process"] as const)("in a %s:", (placement) => {
  const spec = (name: string, args?: readonly string[], policy?: ServicePolicy) => ({
    service: { module, export: name, ...(args && { arguments: args }) },
    policy: { ...policy, placement },
  });
  const workers: WorkerEvent[] = [];

  describe("a service", () => {
    let server: Serving;
    beforeAll(async () => {
      const names = ["double", "where", "trouble", "sameBytes", "bigEcho", "endless", "failingStream", "stall", "total", "first", "timed"];
      server = await serve([...names.map((name) => spec(name)), spec("Greeter", ["hello"])], {
        observers: [{ workerChanged: (event) => void workers.push(event) }],
      });
    }, 60_000);
    afterAll(() => server.runtime.stop());

    test("runs elsewhere, and answers as inline", async () => {
      expect(await (await server.post("/where")).json()).toMatchObject({ isMainThread: placement === "process" });
      const inline = await serve([{ ...spec("double"), policy: { placement: "inline" } }]);
      for (const body of ['{"x":4}', '{"x":"4"}', "{", ""]) {
        const [one, other] = await Promise.all(
          [server, inline].map((runtime) => runtime.post("/double", body, { "x-request-id": "same" })),
        );
        expect(one?.status).toBe(other?.status);
        expect(await one?.json()).toEqual(await other?.json());
      }
      await inline.runtime.stop();
    });

    test("is constructed with its arguments", async () => {
      expect(await (await server.post("/greeter", '"you"')).json()).toBe("hello you");
    });

    test("knows of the request what it would know inline", async () => {
      const response = await server.post("/trouble", '"context"', { "x-team": "a", "x-request-id": "r-7", authorization: "Bearer s3cret" });
      expect(await response.json()).toMatchObject({ requestId: "r-7", inTime: true, metadata: { "x-team": "a" } });
    });

    test("its stages are measured there", async () => {
      await (await server.post("/timed", "1")).text();
      expect(server.events.at(-1)?.stages.map(({ stage }) => stage)).toEqual(["queue", "deserialize", "think", "call", "serialize"]);
    });

    test("its failures keep code, details and fields, and say nothing of the inside", async () => {
      await problemOf(await server.post("/trouble", '"error"'), 500, "service_failed");
      await problemOf(await server.post("/trouble", '"text"'), 500, "service_failed");
      const problem = await problemOf(await server.post("/trouble", '"own code"'), 404, "not_found");
      expect(problem).toMatchObject({ detail: "No such voice.", voice: "ada", errors: [{ path: "voice" }] });
      const line = server.lines.find(({ fields }) => String(fields.cause).includes("secret of /work/x.ts"));
      expect(line?.fields).toMatchObject({ service: "trouble", stage: "call" });
      expect((await server.post("/trouble", '"details that can\'t cross"')).status).toBe(404);
      expect(await (await server.post("/trouble", '"still there"')).json()).toBe("still there");
    });

    test("its log lines carry service and request, whatever they hold", async () => {
      await server.post("/trouble", '"log"', { "x-request-id": "log-1" });
      await until(() => server.lines.some(({ level, fields }) => level === "warn" && fields.requestId === "log-1"), "the lines");
      const lines = server.lines.filter(({ fields }) => fields.requestId === "log-1" && fields.outcome === undefined);
      expect(lines).toMatchObject([
        { level: "info", message: "a line", fields: { service: "trouble", detail: 1, error: expect.stringContaining("logged") as string } },
        { level: "debug", message: "only a text", fields: { service: "trouble" } },
        { level: "error", message: "odd", fields: { service: "trouble" } },
        // The id is the request's, whatever the service says.
        { level: "info", message: "disguised", fields: { service: "trouble", kept: 1 } },
        { level: "warn", fields: { service: "trouble", err: expect.stringContaining("by itself") as string } },
      ]);
    });

    test("5 MB go there and come back, byte for byte", async () => {
      const bytes = new Uint8Array(5_000_000).map((_, index) => (index * 31) % 251);
      const response = await server.post("/big-echo", bytes, { "content-type": "application/octet-stream" });
      expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), Buffer.from(bytes))).toBe(0);
    });

    test("an array of the service's own is not taken away by being answered with", async () => {
      for (const [body, length] of [
        ["null", 40_000],
        ["null", 40_000],
        ['"view"', 20_000],
        ['"view"', 20_000],
        ["null", 40_000],
      ] as const) {
        const bytes = new Uint8Array(await (await server.post("/same-bytes", body)).arrayBuffer());
        expect([bytes.byteLength, bytes.every((byte) => byte === 7)]).toEqual([length, true]);
      }
    });

    test("many at once, each gets its own", async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, async (_, x) => (await server.post("/double", `{"x":${x}}`)).json()));
      expect(answers).toEqual(Array.from({ length: 60 }, (_, x) => ({ y: 2 * x })));
    });

    describe("streams", () => {
      const made = async (): Promise<{ made: number; ended: string }> =>
        JSON.parse(await (await server.post("/endless", '"made"')).text()) as never;

      test("make no more than is read, and end when the reader leaves", async () => {
        const reader = await openRaw(server.port);
        reader.socket.pause();
        reader.write("POST /endless HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nnull");
        let before = -1;
        let now = await made();
        while (now.made === 0 || now.made !== before) {
          before = now.made;
          await pause(20);
          now = await made();
        }
        // Some megabytes fit into the buffers of both sockets; a loop that does not wait would go on.
        expect(now.made).toBeLessThan(2_000);
        expect(now.ended).toBe("");
        reader.socket.destroy();
        await until(() => server.runtime.status?.services.endless?.running === 0, "the end");
        expect((await made()).ended).toBe("aborted");
      });

      test("fail in the middle with their code", async () => {
        const text = await (await server.post("/failing-stream", "null", { accept: "text/event-stream" })).text();
        expect(text).toMatch(/^data: 1\n\nevent: error\ndata: .*"code":"service_failed"/);
      });

      test("late with an item are told to stop", async () => {
        const text = await (await server.post("/stall", "null", { accept: "text/event-stream" })).text();
        expect(text).toContain('"code":"deadline_exceeded"');
        await until(() => server.lines.some(({ message }) => message === "stall aborted"), "the signal");
        await until(() => server.runtime.status?.services.stall?.inFlight === 0, "the slot");
      });

      test("as input arrive item by item, and need not be read to the end", async () => {
        const ndjson = { "content-type": "application/x-ndjson" };
        expect(await (await server.post("/total", '{"x":1}\n'.repeat(20_000), ndjson)).json()).toEqual({ sum: 20_000 });
        const problem = await problemOf(await server.post("/total", '{"x":1}\n{"x":null}\n', ndjson), 400, "invalid_request");
        expect(problem.errors).toMatchObject([{ path: "[1].x" }]);
        await problemOf(await server.post("/total", '{"x":1}\n{"x"\n', ndjson), 400, "invalid_request");
        expect(await (await server.post("/first", `5\n${"6\n".repeat(300_000)}`, ndjson)).json()).toBe(5);
        expect(await (await server.post("/first", "7\n", ndjson)).json()).toBe(7);
      });

      test("as input that breaks off end the call", async () => {
        const leaver = new AbortController();
        const body = new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode('{"x":1}\n'));
          },
        });
        const answering = server.post("/total", body, { "content-type": "application/x-ndjson" }, leaver.signal).catch(() => "left");
        await until(() => server.runtime.status?.services.total?.running === 1, "the call");
        leaver.abort();
        expect(await answering).toBe("left");
        await until(() => server.runtime.status?.services.total?.inFlight === 0, "the slot");
      });
    });

    test("a deadline or a client that leaves reaches it, and its slot is held until it has stopped", async () => {
      const answer = await server.post("/trouble", '"wait"', { "x-timeout-ms": "50", "x-request-id": "late-1" });
      await problemOf(answer, 504, "deadline_exceeded");
      expect(server.runtime.status?.services.trouble).toMatchObject({ running: 1 });
      await until(() => server.runtime.status?.services.trouble?.running === 0, "the slot");
      expect(server.lines.find(({ fields, message }) => message === "told to stop" && fields.requestId === "late-1")?.fields).toMatchObject(
        {
          code: "deadline_exceeded",
        },
      );

      const leaver = new AbortController();
      const left = server.post("/trouble", '"wait"', { "x-request-id": "left-1" }, leaver.signal).catch(() => "left");
      await until(() => server.runtime.status?.services.trouble?.running === 1, "the call");
      leaver.abort();
      expect(await left).toBe("left");
      await until(
        () => server.lines.some(({ fields, message }) => message === "told to stop" && fields.requestId === "left-1"),
        "the signal",
      );
      await until(() => server.runtime.status?.services.trouble?.running === 0, "the slot");
    });

    test.each(["exit", "later", "reject"])("a crash (%s) fails what was in flight, and only that; then it goes on", async (how) => {
      await (await server.post("/trouble", "1")).text();
      const bystander = server.post("/trouble", '"wait"', { "x-request-id": `by-${how}` });
      await until(() => server.runtime.status?.services.trouble?.running === 1, "the bystander");
      const before = workers.length;
      const problem = await problemOf(await server.post("/trouble", JSON.stringify(how)), 500, "worker_crashed");
      expect(problem.detail).toBe("The worker that ran the request crashed.");
      await problemOf(await bystander, 500, "worker_crashed");
      expect(await (await server.post("/double", '{"x":1}')).json()).toEqual({ y: 2 });
      expect(await (await server.post("/trouble", '"again"')).json()).toBe("again");
      expect(workers.slice(before).map(({ service, change }) => `${service} ${change}`)).toEqual([
        "trouble crashed",
        "trouble restarting",
        "trouble ready",
      ]);
      expect(server.runtime.status).toMatchObject({ ready: true, degraded: false });
      expect(server.runtime.status?.services.trouble).toMatchObject({ inFlight: 0, running: 0, ready: 1 });
    });

    test("a crash in the middle of a stream ends it with an error", async () => {
      await (await server.post("/failing-stream", "null", { accept: "text/event-stream" })).text();
      const text = await (await server.post("/failing-stream", '"exit"', { accept: "text/event-stream" })).text();
      expect(text).toMatch(/^data: 1\n\nevent: error\ndata: .*"code":"worker_crashed"/);
      await until(() => server.runtime.status?.services["failing-stream"]?.ready === 1, "the new worker");
    });

    test("crashes are counted", async () => {
      const text = await (await server.get("/metrics")).text();
      const crashes = workers.filter(({ service, change }) => service === "trouble" && change === "crashed").length;
      expect(crashes).toBeGreaterThan(0);
      expect(text).toContain(`servable_worker_crashes_total{service="trouble"} ${crashes}`);
      expect(text).toMatch(/servable_worker_start_seconds\{service="trouble"\} \d/);
    });
  });

  describe("crash loops", () => {
    const folder = mkdtempSync(join(tmpdir(), "servable-crash-"));
    afterAll(() => {
      rmSync(folder, { recursive: true });
    });
    const loop = (marker: string, count: number) => ({
      service: { module: crashLoop, arguments: [join(folder, marker)] },
      policy: { workers: count, placement },
    });

    test("end with the reason, not ready; who waits is told at once", { timeout: 30_000 }, async () => {
      const { server, events } = await serveWorkers([loop("one", 1), spec("double")]);
      await using _ = server;
      expect(await (await server.post("/crash-loop", "1")).json()).toBe(1);
      await problemOf(await server.post("/crash-loop", '"die"'), 500, "worker_crashed");
      const waiting = server.post("/crash-loop", "2");
      const degraded = await server.get("/readyz");
      expect(degraded.status).toBe(503);
      expect(((await degraded.json()) as { reason: string }).reason).toMatch(
        /^crash-loop: worker 0: (crashed, starting again|crash loop, not started again): /,
      );
      await until(() => events.some(({ change }) => change === "crash_loop"), "the end");
      for (const answer of [await waiting, await server.post("/crash-loop", "3")]) {
        // Nobody knows when it will be back.
        expect(answer.headers.get("retry-after")).toBeNull();
        await problemOf(answer, 503, "not_ready");
      }
      const readyz = await server.get("/readyz");
      expect([readyz.status, await readyz.json()]).toMatchObject([
        503,
        {
          status: "not_ready",
          reason: "crash-loop: worker 0: crash loop, not started again: Service 'crash-loop' could not be set up: the model is gone",
          services: { double: { ready: 1 } },
        },
      ]);
      expect((await server.get("/livez")).status).toBe(200);
      expect(await (await server.post("/double", '{"x":1}')).json()).toEqual({ y: 2 });
      // The first died after requests it had finished, the next five at birth.
      expect(events.filter(({ change, service }) => change === "crashed" && service === "crash-loop")).toHaveLength(6);
      expect(events.filter(({ change, service }) => change === "restarting" && service === "crash-loop")).toHaveLength(5);
    });

    test("of one worker of two: degraded, and still serving", { timeout: 30_000 }, async () => {
      const { server, events } = await serveWorkers([loop("two", 2)]);
      await using _ = server;
      await problemOf(await server.post("/crash-loop", '"die"'), 500, "worker_crashed");
      await until(() => events.some(({ change }) => change === "crash_loop"), "the end");
      const readyz = await server.get("/readyz");
      expect([readyz.status, await readyz.json()]).toMatchObject([
        200,
        {
          status: "degraded",
          reason: expect.stringContaining("crash loop, not started again") as string,
          services: { "crash-loop": { ready: 1, total: 2 } },
        },
      ]);
      for (let round = 0; round < 4; round += 1) expect(await (await server.post("/crash-loop", "1")).json()).toBe(1);
    });
  });

  describe("start and stop", () => {
    test("a setup that fails is told in one line, at once, though what it began would keep the worker alive", async () => {
      const begin = performance.now();
      await expect(serve([spec("badSetup")])).rejects.toMatchObject({
        code: "load_failed",
        message: "Service 'bad-setup' could not be set up: the model is not there",
      });
      expect(performance.now() - begin).toBeLessThan(4_500);
    });

    test.each(["setup began", "nothing yet"])("a stop in the middle of a start ends it (%s)", async (moment) => {
      const lines: LogLine[] = [];
      const runtime = new HttpRuntime({ services: [spec("slowSetup")], port: 0, log: keepLog(lines) });
      const starting = runtime.start();
      starting.catch(() => undefined);
      await until(() => runtime.status?.state === "starting", "the start");
      if (moment === "setup began") await until(() => lines.some(({ message }) => message === moment), "the setup");
      const begin = performance.now();
      await runtime.stop();
      await expect(starting).rejects.toMatchObject({ code: "cancelled" });
      expect(performance.now() - begin).toBeLessThan(4_500);
      // Newer Nodes may have a worker begin within the time between two looks.
      const [began, wasTold] = ["setup began", "setup was told to stop"].map((text) => lines.some(({ message }) => message === text));
      expect(wasTold).toBe(began);
    });

    test("what is in flight finishes, and each worker closes its service", async () => {
      const { server } = await serveWorkers([spec("closes", undefined, { workers: 2 })]);
      expect(server.lines.filter(({ message }) => message === "set up")).toHaveLength(2);
      const answering = Promise.all([server.post("/closes", "50"), server.post("/closes", "60")]);
      await until(() => server.runtime.status?.services.closes?.running === 2, "the calls");
      await server.runtime.stop();
      expect(await Promise.all((await answering).map((response) => response.json()))).toEqual(["done", "done"]);
      expect(server.lines.filter(({ message }) => message === "closed").map(({ fields }) => fields.service)).toEqual(["closes", "closes"]);
    });

    test("requests are spread over the workers", async () => {
      const { server } = await serveWorkers([spec("where", undefined, { workers: 2 }), spec("closes", undefined, { workers: 2 })]);
      await using _ = server;
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => (await server.post("/where")).json() as Promise<{ threadId: number; pid: number }>),
      );
      expect(new Set(answers.map(({ threadId, pid }) => `${pid}/${threadId}`)).size).toBe(2);
    });
  });
});
