import { fileURLToPath } from "node:url";
import type { ServicePolicy } from "servable";
import type { HttpRuntimeOptions, WorkerEvent } from "servable/http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Server } from "../cli/support.ts";
import { problemOf, serve, until, type Serving } from "../support/serving.ts";
import { sized } from "../support/sizes.ts";

const module = fileURLToPath(new URL("../fixtures/process-services.mjs", import.meta.url));

interface Seeing extends AsyncDisposable {
  readonly server: Serving;
  readonly changes: WorkerEvent[];
}
async function start(name: string, policy: ServicePolicy = {}, options: Partial<HttpRuntimeOptions> = {}): Promise<Seeing> {
  const changes: WorkerEvent[] = [];
  const services = [{ service: { module, export: name }, policy: { placement: "process", ...policy } as const }];
  const server = await serve(services, { observers: [{ workerChanged: (event) => void changes.push(event) }], ...options });
  return { server, changes, [Symbol.asyncDispose]: () => server.runtime.stop() };
}

const pidOf = async (response: Promise<Response>): Promise<number> => (await (await response).json()) as number;

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("a process that is killed from outside", () => {
  const kills = sized(5, 50);
  test(`${kills} times under load: everybody gets an answer, only what was in it fails`, { timeout: 120_000 }, async () => {
    const { server, changes, ...seeing } = await start("work", { workers: 2 });
    const killed = new Set<number>();
    const answered = new Set<number>();
    const outcomes = new Map<string, "ok" | "worker_crashed">();
    let next = 0;
    const client = async (): Promise<void> => {
      while (killed.size < kills) {
        const id = `load-${next++}`;
        const response = await server.post("/work", "3", { "x-request-id": id });
        if (response.status === 200) {
          answered.add((await response.json()) as number);
          outcomes.set(id, "ok");
        } else {
          await problemOf(response, 500, "worker_crashed");
          outcomes.set(id, "worker_crashed");
        }
      }
    };
    const killer = async (): Promise<void> => {
      while (killed.size < kills) {
        // One that has answered is in use, and has more in hand.
        const pid = [...answered].find((candidate) => !killed.has(candidate));
        if (pid !== undefined) {
          process.kill(pid, "SIGKILL");
          killed.add(pid);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await Promise.all([killer(), ...Array.from({ length: 12 }, client)]);
    await until(() => changes.filter(({ change }) => change === "crashed").length === kills, "the last crash");
    await until(() => server.runtime.status?.services.work?.ready === 2, "the last workers");

    expect(outcomes.size).toBe(next);
    const failed = [...outcomes].filter(([, outcome]) => outcome === "worker_crashed").map(([id]) => id);
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThanOrEqual(kills * 12);
    const begunIn = new Map(
      server.lines.filter(({ message }) => message === "begun").map(({ fields }) => [fields.requestId, fields.pid as number]),
    );
    for (const id of failed) {
      const pid = begunIn.get(id);
      if (pid !== undefined) expect(killed).toContain(pid);
    }
    expect(changes.filter(({ change }) => change === "crash_loop")).toEqual([]);
    expect(changes.find(({ change }) => change === "crashed")?.reason).toBe("it was ended by SIGKILL");
    expect(server.runtime.status).toMatchObject({ ready: true, degraded: false, services: { work: { inFlight: 0, ready: 2, total: 2 } } });
    const last = await Promise.all(Array.from({ length: 8 }, () => pidOf(server.post("/work", "1"))));
    expect(new Set(last).size).toBe(2);
    await seeing[Symbol.asyncDispose]();
    expect([...answered, ...last].filter(lives)).toEqual([]);
  });
});

describe("a call that ends its process", () => {
  // Node's last words, of several screens.
  beforeEach(() => void vi.spyOn(process.stderr, "write").mockReturnValue(true));
  afterEach(() => vi.restoreAllMocks());

  test.each([
    ["exit", "it ended by itself with exit code 3"],
    ["abort", "it was ended by SIGABRT"],
  ])("(%s) is told with how", async (what, reason) => {
    await using seeing = await start("trouble");
    const { server, changes } = seeing;
    const before = await pidOf(server.post("/trouble"));
    await problemOf(await server.post("/trouble", JSON.stringify(what)), 500, "worker_crashed");
    const after = await pidOf(server.post("/trouble"));
    expect(after).not.toBe(before);
    expect(changes.map(({ change, reason: why }) => [change, why])).toEqual([
      ["ready", undefined],
      ["crashed", reason],
      ["restarting", reason],
      ["ready", undefined],
    ]);
  });

  test("by its heap leaves the server as it was", { timeout: 60_000 }, async () => {
    vi.stubEnv("NODE_OPTIONS", "--max-old-space-size=48");
    await using seeing = await start("trouble").finally(() => vi.unstubAllEnvs());
    const { server } = seeing;
    await problemOf(await server.post("/trouble", '"heap"'), 500, "worker_crashed");
    expect(await pidOf(server.post("/trouble"))).toBeGreaterThan(0);
  });
});

describe("a call that will not stop", () => {
  test("is ended with its process after its deadline, however often; who comes meanwhile is answered by the next", async () => {
    await using seeing = await start("trouble", { killAfterMs: 50 });
    const { server, changes } = seeing;
    // More often than a crash loop has crashes, and by a worker that never answered.
    for (let round = 0; round < 6; round += 1) {
      await until(() => changes.filter(({ change }) => change === "ready").length === round + 1, "a worker");
      await problemOf(await server.post("/trouble", '"hang"', { "x-timeout-ms": "100" }), 504, "deadline_exceeded");
    }
    const pid = await pidOf(server.post("/trouble"));
    expect(lives(pid)).toBe(true);
    expect(changes.filter(({ change }) => change !== "ready").map(({ change }) => change)).toEqual(
      Array.from({ length: 6 }, () => ["crashed", "restarting"]).flat(),
    );
    const reason = "a call went on for 50 ms after it was given up (killAfterMs)";
    expect(changes.find(({ change }) => change === "crashed")?.reason).toBe(`killed: ${reason}`);
    expect(server.lines.find(({ message }) => message === "worker killed")).toMatchObject({ level: "warn", fields: { reason } });
    expect(server.runtime.status?.services.trouble).toMatchObject({ running: 0, inFlight: 0 });
  });

  test("is ended when its client leaves, and what waited behind it fails with it", async () => {
    await using seeing = await start("trouble", { killAfterMs: 100 });
    const { server } = seeing;
    const leaver = new AbortController();
    const left = server.post("/trouble", '"hang"', {}, leaver.signal).catch(() => "left");
    await until(() => server.runtime.status?.services.trouble?.running === 1, "the call");
    const behind = server.post("/trouble");
    await until(() => server.runtime.status?.services.trouble?.running === 2, "the other");
    leaver.abort();
    expect(await left).toBe("left");
    await problemOf(await behind, 500, "worker_crashed");
    expect(await pidOf(server.post("/trouble"))).toBeGreaterThan(0);
  });

  test("is ended also where one waits behind it that has the place of one before it", async () => {
    await using seeing = await start("trouble", { killAfterMs: 100 });
    const { server } = seeing;
    const first = server.post("/trouble", '"busy"');
    await until(() => server.runtime.status?.services.trouble?.running === 1, "the first");
    // It begins when the first has ended, so that nothing says it has begun beside another.
    const stuck = server.post("/trouble", '"hang"', { "x-timeout-ms": "1500" });
    await until(() => server.runtime.status?.services.trouble?.running === 2, "the one that hangs");
    expect((await first).status).toBe(200);
    const behind = server.post("/trouble");
    await problemOf(await stuck, 504, "deadline_exceeded");
    // It would wait for its own deadline, of 30 s, and get that.
    await problemOf(await behind, 500, "worker_crashed");
    expect(await pidOf(server.post("/trouble"))).toBeGreaterThan(0);
  });

  test("does not keep the answer of the one before it, with which it came", async () => {
    await using seeing = await start("trouble", { killAfterMs: 100 });
    const { server } = seeing;
    const holding = server.post("/trouble", '"busy"');
    await until(() => server.runtime.status?.services.trouble?.running === 1, "the one that holds the process");
    const before = server.post("/trouble");
    await until(() => server.runtime.status?.services.trouble?.running === 2, "the one before it");
    // Both lie in the process's channel until it is let go.
    const stuck = server.post("/trouble", '"hang"', { "x-timeout-ms": "1500" });
    expect((await holding).status).toBe(200);
    expect((await before).status).toBe(200);
    await problemOf(await stuck, 504, "deadline_exceeded");
  });

  test("is not ended where one that came before it, and after others that have gone, is wanted", async () => {
    await using seeing = await start("work", { killAfterMs: 20 });
    const { server, changes } = seeing;
    const short = [server.post("/work", "100"), server.post("/work", "150")];
    await until(() => server.runtime.status?.services.work?.running === 2, "the first two");
    const wanted = pidOf(server.post("/work", "1000"));
    await until(() => server.runtime.status?.services.work?.running === 3, "the one that is wanted");
    for (const call of short) expect((await call).status).toBe(200);
    // They take the places of the first two.
    const given = [1, 2].map(() => server.post("/work", "600", { "x-timeout-ms": "100" }));
    for (const call of given) await problemOf(await call, 504, "deadline_exceeded");
    expect(await wanted).toBe(await pidOf(server.post("/work", "1")));
    expect(changes.map(({ change }) => change)).toEqual(["ready"]);
  });

  test("but waits without holding the process ends with it, too", async () => {
    await using seeing = await start("trouble", { killAfterMs: 50 });
    const { server } = seeing;
    const pid = await pidOf(server.post("/trouble"));
    await problemOf(await server.post("/trouble", '"ignore"', { "x-timeout-ms": "50" }), 504, "deadline_exceeded");
    await until(() => !lives(pid), "its end");
    await until(() => server.runtime.status?.services.trouble?.running === 0, "the slot");
  });

  test("does not take along another that is wanted", async () => {
    await using seeing = await start("work", { killAfterMs: 20 });
    const { server, changes } = seeing;
    const wanted = pidOf(server.post("/work", "600"));
    await until(() => server.runtime.status?.services.work?.running === 1, "the call");
    await problemOf(await server.post("/work", "400", { "x-timeout-ms": "50" }), 504, "deadline_exceeded");
    expect(await wanted).toBe(await pidOf(server.post("/work", "1")));
    expect(changes.map(({ change }) => change)).toEqual(["ready"]);
  });

  test("is left to end by itself where it does in time, and nobody behind it is lost", async () => {
    await using seeing = await start("trouble");
    const { server, changes } = seeing;
    const pid = await pidOf(server.post("/trouble"));
    await problemOf(await server.post("/trouble", '"busy"', { "x-timeout-ms": "50" }), 504, "deadline_exceeded");
    expect(await Promise.all([1, 2, 3].map(() => pidOf(server.post("/trouble"))))).toEqual([pid, pid, pid]);
    expect(changes.map(({ change }) => change)).toEqual(["ready"]);
  });

  test("as a stream does not either", async () => {
    await using seeing = await start("stuckStream", { killAfterMs: 50, deadlineMs: 200 });
    const { server } = seeing;
    const text = await (await server.post("/stuck-stream", "null", { accept: "text/event-stream" })).text();
    expect(text).toMatch(/^data: \d+\n\nevent: error\ndata: .*"code":"deadline_exceeded"/);
    const pid = Number(/\d+/.exec(text)?.[0]);
    await until(() => !lives(pid), "its end");
    await until(() => server.runtime.status?.services["stuck-stream"]?.running === 0, "the slot");
  });

  test("goes on in a thread", async () => {
    await using seeing = await start("trouble", { placement: "thread", killAfterMs: 1 });
    const { server, changes } = seeing;
    await problemOf(await server.post("/trouble", '"busy"', { "x-timeout-ms": "20" }), 504, "deadline_exceeded");
    expect(server.runtime.status?.services.trouble).toMatchObject({ running: 1 });
    await until(() => server.runtime.status?.services.trouble?.running === 0, "its end");
    expect(changes.map(({ change }) => change)).toEqual(["ready"]);
  });
});

describe("a model in a process", () => {
  const output = async (server: Serving, x: number): Promise<readonly number[]> =>
    (await (await server.post("/model", String(x))).json()) as number[];

  test("runs there, requests put together", async () => {
    await using seeing = await start("model");
    const answers = await Promise.all(Array.from({ length: 20 }, (_, x) => output(seeing.server, x + 100)));
    expect(answers.map(([y]) => y)).toEqual(Array.from({ length: 20 }, (_, x) => 2 * (x + 100)));
    expect(new Set(answers.map(([, pid]) => pid)).size).toBe(1);
    expect(answers[0]?.[1]).not.toBe(process.pid);
  });

  test("that crashes fails its batch, and goes on", async () => {
    await using seeing = await start("model");
    await problemOf(await seeing.server.post("/model", "14"), 500, "worker_crashed");
    expect((await output(seeing.server, 3))[0]).toBe(6);
    expect(seeing.changes[1]).toMatchObject({ change: "crashed", reason: "it ended by itself with exit code 3" });
  });

  test("that hangs is ended when all its requests are given up, and the next are answered", async () => {
    await using seeing = await start("model", { killAfterMs: 50, deadlineMs: 5_000 });
    const { server, changes } = seeing;
    for (let round = 0; round < 6; round += 1) {
      await until(() => changes.filter(({ change }) => change === "ready").length === round + 1, "a worker");
      await problemOf(await server.post("/model", "13", { "x-timeout-ms": "100" }), 504, "deadline_exceeded");
    }
    expect((await output(server, 4))[0]).toBe(8);
    expect(changes.filter(({ change }) => change === "crash_loop")).toEqual([]);
    expect(changes.find(({ change }) => change === "crashed")?.reason).toBe(
      "killed: the model ran on for 50 ms after its requests were given up (killAfterMs)",
    );
  });
});

describe("at the end", () => {
  test("no process is left, nor of a call that hangs, nor of a service that never closes", { timeout: 60_000 }, async () => {
    const { server } = await start("trouble", { workers: 2 }, { graceMs: 100 });
    const pids = await Promise.all([1, 2, 3, 4].map(() => pidOf(server.post("/trouble"))));
    const hanging = server.post("/trouble", '"hang"');
    await until(() => server.runtime.status?.services.trouble?.running === 1, "the call");
    const other = await start("neverCloses");
    pids.push(await pidOf(other.server.post("/never-closes")));
    await Promise.all([server.runtime.stop(), other.server.runtime.stop()]);
    await problemOf(await hanging, 503, "unavailable");
    expect(pids.filter(lives)).toEqual([]);
  });

  test("a stop in the middle of a kill ends in order", async () => {
    const { server } = await start("trouble", { killAfterMs: 30 }, { graceMs: 100 });
    const pid = await pidOf(server.post("/trouble"));
    await problemOf(await server.post("/trouble", '"hang"', { "x-timeout-ms": "50" }), 504, "deadline_exceeded");
    await server.runtime.stop();
    expect(lives(pid)).toBe(false);
  });

  test.each(["null", '"hang"'])("a process goes with the server that is killed (%s)", async (body) => {
    const server = new Server(["serve", module, "--placement", "process", "--port", "0"]);
    const url = await server.url();
    const post = (path: string, text: string): Promise<Response> =>
      fetch(url + path, { method: "POST", body: text, headers: { "content-type": "application/json" } });
    const pids = [await pidOf(post("/trouble", "null")), await pidOf(post("/work", "1"))];
    const last = post("/trouble", body).catch(() => undefined);
    if (body === "null") await last;
    server.child.kill("SIGKILL");
    await server.exited;
    await last;
    await until(() => !pids.some(lives), "their end");
  });

  test("signals that the terminal sends to all are not for a worker", async () => {
    await using seeing = await start("trouble");
    const pid = await pidOf(seeing.server.post("/trouble"));
    expect(await pidOf(seeing.server.post("/trouble", '"signals"'))).toBe(pid);
  });
});

test("what a service prints comes out here, in whole lines", async () => {
  const printed: string[] = [];
  const keep = (chunk: unknown): boolean => printed.push(String(chunk)) > 0;
  const spies = [vi.spyOn(process.stdout, "write").mockImplementation(keep), vi.spyOn(process.stderr, "write").mockImplementation(keep)];
  try {
    await using seeing = await start("trouble");
    await (await seeing.server.post("/trouble", '"print"')).text();
    await until(() => printed.some((text) => text.includes("another")), "the lines");
    await seeing.server.runtime.stop();
    await until(() => printed.some((text) => text.includes("other side")), "the rest");
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  expect(printed).toContain("half a line\nanother\n");
  expect(printed).toContain("to the other side\n");
});
