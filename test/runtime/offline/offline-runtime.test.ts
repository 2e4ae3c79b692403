import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { defineService, type AnyServiceDefinition, type ServicePolicy } from "servable";
import type { BatchRunEvent, RequestEvent } from "servable/http";
import { OfflineRuntime, type OfflineResult, type OfflineRuntimeOptions } from "servable/offline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { builtFixture } from "../../support/fixtures.ts";
import { deferred, keepLog, until, type LogLine } from "../../support/serving.ts";

const module = builtFixture("test/runtime/offline/services.ts");
let folder: string;
let input: string;
let output: string;
let lines: LogLine[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "offline-"));
  process.env.OFFLINE_TEST_FOLDER = folder;
  input = join(folder, "in.jsonl");
  output = join(folder, "out.jsonl");
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

type Row = Readonly<Record<string, unknown>>;
const make = (service: OfflineRuntimeOptions["service"], options: Partial<OfflineRuntimeOptions> = {}): OfflineRuntime =>
  new OfflineRuntime({ service, input, output, log: keepLog(lines), graceMs: 5_000, ...options });
const rowsOf = (text: string): Row[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row);
const written = (): Row[] => rowsOf(readFileSync(output, "utf8"));

async function run(service: OfflineRuntimeOptions["service"], options: Partial<OfflineRuntimeOptions> = {}): Promise<OfflineResult> {
  const runtime = make(service, options);
  await runtime.start();
  const result = await runtime.finished;
  await runtime.stopped;
  return result;
}

const echo = defineService({ name: "echo", call: (value) => value });
const fromCall = (call: (value: unknown) => unknown, policy: ServicePolicy = {}): AnyServiceDefinition =>
  defineService({ name: "called", policy, call });
const numbers = (count: number): string => Array.from({ length: count }, (_, index) => `${index}\n`).join("");

describe("an offline run", () => {
  test("gives each row its answer, in order, whatever comes first", async () => {
    const value = fc.oneof(fc.jsonValue(), fc.constant("fail"));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ value, delayMs: fc.nat(4), blank: fc.boolean() }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        async (rows, concurrency) => {
          writeFileSync(input, rows.map((row) => `${JSON.stringify(row)}\r\n${row.blank ? " \n" : ""}`).join(""));
          let running = 0;
          let most = 0;
          const service = fromCall(async (row) => {
            most = Math.max(most, ++running);
            const { value, delayMs } = row as (typeof rows)[number];
            await pause(delayMs);
            running -= 1;
            if (value === "fail") throw new Error("as told");
            return { value };
          });
          const result = await run({ service, policy: { concurrency } }, { restart: true });
          const failed = rows.filter((row) => row.value === "fail").length;
          expect(result).toEqual({ rows: rows.length, failed, complete: true });
          let line = 0;
          const expected = rows.map(({ value, blank }) => {
            line += blank ? 2 : 1;
            const at = blank ? line - 1 : line;
            return value === "fail"
              ? { error: expect.objectContaining({ code: "service_failed", status: 500, requestId: `line-${at}` }), line: at }
              : { output: { value: JSON.parse(JSON.stringify(value)) as unknown } };
          });
          expect(written()).toEqual(expected);
          expect(most).toBe(Math.min(most, concurrency));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("of no rows is complete, and leaves an empty output", async () => {
    for (const nothing of ["", "\n", "\u{feff}", "\r\n  \n"]) {
      writeFileSync(input, nothing);
      expect(await run(echo)).toEqual({ rows: 0, failed: 0, complete: true });
      expect(readFileSync(output, "utf8")).toBe("");
    }
    expect(readdirSync(folder).sort()).toEqual(["in.jsonl", "out.jsonl"]);
  });

  test("fails bad rows alone, and says which they are", async () => {
    writeFileSync(input, `1\n\n{"x":\n"${"x".repeat(100)}"\n\u{0}\n2`);
    expect(await run({ service: echo, policy: { maxBodyBytes: 50 } })).toEqual({ rows: 5, failed: 3, complete: true });
    expect(written()).toEqual([
      { output: 1 },
      { line: 3, error: expect.objectContaining({ code: "invalid_request", status: 400, requestId: "line-3" }) },
      {
        line: 4,
        error: expect.objectContaining({ code: "payload_too_large", detail: "Line 4 is larger than 50 bytes.", maxBodyBytes: 50 }),
      },
      { line: 5, error: expect.objectContaining({ code: "invalid_request" }) },
      { output: 2 },
    ]);
  });

  test("collects a stream, and keeps an answer on its line", async () => {
    writeFileSync(input, "3\n");
    const count = defineService({
      name: "count",
      async *call(to: unknown) {
        for (let n = 1; n <= Number(to); n += 1) yield n;
      },
    });
    await run(count);
    expect(written()).toEqual([{ output: [1, 2, 3] }]);
    const pretty = { mediaTypes: ["application/json"], serialize: (value: unknown) => JSON.stringify(value, undefined, 2) };
    await run(defineService({ name: "pretty", response: pretty, call: () => ({ a: "1\n2", b: [] }) }), { restart: true });
    expect(written()).toEqual([{ output: { a: "1\n2", b: [] } }]);
  });

  test("refuses services that can't be run over lines", async () => {
    writeFileSync(input, "1\n");
    const bytes = { mediaTypes: ["text/plain"], deserialize: () => "" };
    await expect(run(defineService({ name: "text", request: bytes, call: () => 1 }))).rejects.toMatchObject({
      code: "invalid_argument",
      message: "Service 'text' does not speak JSON, so it can't be run over a file of JSON lines.",
    });
    expect(existsSync(output)).toBe(false);
  });

  test("reads streams and writes into streams, no faster than those who read them", async () => {
    const taken: string[] = [];
    let asked = 0;
    async function* source() {
      for (; asked < 20_000; asked += 1) yield `{"n":${asked},"pad":"${"x".repeat(100)}"}\n`;
    }
    const go = deferred();
    const slow = new Writable({
      write(chunk, _encoding, done) {
        taken.push(String(chunk));
        void go.promise.then(() => done());
      },
    });
    const runtime = make(echo, { input: source(), output: slow });
    await runtime.start();
    await until(() => taken.length === 1);
    await pause(100);
    expect(asked).toBeLessThan(5_000);
    go.resolve();
    expect(await runtime.finished).toEqual({ rows: 20_000, failed: 0, complete: true });
    expect(rowsOf(taken.join("")).map((row) => (row.output as Row).n)).toEqual(Array.from({ length: 20_000 }, (_, n) => n));
    expect(runtime.progress).toMatchObject({ canResume: false, totalBytes: undefined });
  });

  test("stops reading while one row takes its time, by rows and by bytes", async () => {
    for (const [row, most] of [
      ["1\n", 1_024],
      [`"${"x".repeat(1024 * 1024)}"\n`, 33],
    ] as const) {
      writeFileSync(input, `"first"\n${row.repeat(most * 2)}`);
      const go = deferred();
      let begun = 0;
      const service = fromCall(async (value) => {
        begun += 1;
        if (value === "first") await go.promise;
        return value;
      });
      const runtime = make(service, { restart: true });
      await runtime.start();
      await until(() => begun >= most - 1);
      await pause(200);
      expect(begun).toBeLessThanOrEqual(most);
      expect(statSync(output).size).toBe(0);
      go.resolve();
      expect(await runtime.finished).toMatchObject({ rows: most * 2 + 1, failed: 0 });
    }
  });

  test("lets others on its thread have their turn while rows are answered at once", async () => {
    writeFileSync(input, numbers(100));
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await run(
      fromCall(() => {
        for (const since = performance.now(); performance.now() - since < 5;);
        return 1;
      }),
    );
    clearInterval(timer);
    expect(turns).toBeGreaterThan(20);
  });

  test("fills the batches of a model", async () => {
    writeFileSync(input, Array.from({ length: 400 }, (_, x) => `{"x":${x}}\n`).join(""));
    const batches: BatchRunEvent[] = [];
    const observers = [{ batchRun: (event: BatchRunEvent) => void batches.push(event) }];
    expect(await run({ module, export: "batched" }, { observers })).toEqual({ rows: 400, failed: 1, complete: true });
    expect(written().map(({ output: answer }) => (answer as Row | undefined)?.y)).toEqual(
      Array.from({ length: 400 }, (_, x) => (x === 13 ? undefined : 2 * x)),
    );
    // But for the batch of the 13, whose rows run again by themselves, and the beginning.
    expect(batches.filter(({ rows }) => rows === 8).length).toBeGreaterThanOrEqual(45);
  });

  test("runs as many rows at once as fill a large batch, unless the service says how many it takes", async () => {
    writeFileSync(
      input,
      Array.from({ length: 600 }, (_, x) => `{"x":${x + 100}}\n`)
        .join("")
        .replaceAll("666", "0"),
    );
    const sizes = async (policy: ServicePolicy): Promise<number> => {
      const rows: number[] = [];
      const observers = [{ batchRun: (event: BatchRunEvent) => void rows.push(event.rows) }];
      await run({ service: { module, export: "batched" }, policy }, { observers, restart: true });
      return Math.max(...rows);
    };
    expect(await sizes({ batching: { maxRows: 128 } })).toBe(128);
    expect(await sizes({ batching: { maxRows: 128 }, concurrency: 5 })).toBeLessThanOrEqual(5);
  });

  test("does not count a row's wait for others of its run as the service's time", async () => {
    writeFileSync(input, numbers(20));
    const slow = async (value: unknown) => pause(30, value);
    expect(await run(fromCall(slow, { concurrency: 1, deadlineMs: 10 }))).toMatchObject({ failed: 0 });
    const policy = { deadlineMs: 10, queue: 0 };
    expect(await run({ service: fromCall(slow, { concurrency: 1 }), policy }, { restart: true })).toMatchObject({ rows: 20, failed: 20 });
    expect(written()[3]).toMatchObject({ error: { code: "deadline_exceeded" } });
  });

  test("logs why rows failed in the service, and not without end", async () => {
    writeFileSync(input, numbers(300));
    const failing = fromCall(() => {
      throw new Error("broken");
    });
    const log = { ...keepLog(lines), isLevelEnabled: (level: string) => level !== "info" };
    expect(await run(failing, { log: { ...log, child: () => log } })).toMatchObject({ failed: 300 });
    const failures = lines.filter(({ message }) => message === "request failed");
    expect(failures).toHaveLength(100);
    expect(failures[0]?.fields).toMatchObject({ requestId: "line-1", cause: expect.stringContaining("broken") });
    expect(lines.filter(({ level, message }) => level === "warn" && message?.includes("more than 100 rows"))).toHaveLength(1);
  });
});

describe("a row that was in a worker that crashed", () => {
  const rows = (values: readonly number[]): string => values.map((x) => `{"x":${x}}\n`).join("");
  const values = Array.from({ length: 100 }, (_, index) => index + 100);

  test("is run again, alone: only the one that crashes it fails", async () => {
    writeFileSync(input, rows([...values.slice(0, 50), 666, ...values.slice(50), 666]));
    const events: RequestEvent[] = [];
    const observers = [{ requestFinished: (event: RequestEvent) => void events.push(event) }];
    for (const name of ["mortal", "batched"]) {
      expect(await run({ module, export: name }, { observers, restart: true })).toEqual({ rows: 102, failed: 2, complete: true });
      const answers = written();
      expect(answers.filter((row) => "error" in row)).toEqual([
        { line: 51, error: expect.objectContaining({ code: "worker_crashed" }) },
        { line: 102, error: expect.objectContaining({ code: "worker_crashed" }) },
      ]);
      expect(answers[100]).toEqual({ output: { y: 2 * 199 } });
    }
    // Others were in the worker, too: they were run twice, and answered once.
    expect(events.filter(({ outcome }) => outcome === "worker_crashed").length).toBeGreaterThan(4);
  });

  test("has its answer where it crashes no more", async () => {
    writeFileSync(input, rows([1, 2, 13, 3]));
    expect(await run({ module, export: "mortal" })).toEqual({ rows: 4, failed: 0, complete: true });
    expect(existsSync(join(folder, "died"))).toBe(true);
  });

  test("is whole when it is run again, also if it is large", async () => {
    const pad = "p".repeat(100_000);
    writeFileSync(input, `{"x":13,"pad":"${pad}"}\n{"x":2,"pad":"${pad}"}`);
    expect(await run({ module, export: "mortal" })).toEqual({ rows: 2, failed: 0, complete: true });
  });

  test("ends the run where workers crash again and again, and what was answered stays", async () => {
    writeFileSync(input, rows([1, 2, 3, ...Array.from({ length: 20 }, () => 666), 4]));
    const runOnce = async (name: string): Promise<Row[]> => {
      const out = join(folder, `${name}.jsonl`);
      const runtime = make({ module, export: name }, { output: out });
      await runtime.start();
      await expect(runtime.finished).rejects.toMatchObject({ code: "worker_crashed", message: expect.stringMatching(/again and again/) });
      return rowsOf(readFileSync(out, "utf8"));
    };
    const first = [{ output: { y: 2 } }, { output: { y: 4 } }, { output: { y: 6 } }, { line: 4, error: expect.anything() }];
    const [before, batched] = await Promise.all([runOnce("mortal"), runOnce("batched")]);
    expect(before.slice(0, 4)).toEqual(first);
    expect(batched.slice(0, 4)).toEqual(first);
    expect(before.length).toBeLessThan(23);
    // The next run goes on behind those that are known to crash it.
    const after = await runOnce("mortal");
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after.length).toBeGreaterThan(before.length);
  }, 120_000);
});

describe("a run that was stopped", () => {
  const gated = { module, export: "gate" };
  const stoppedRun = async (policy: ServicePolicy = {}): Promise<void> => {
    writeFileSync(input, Array.from({ length: 50 }, (_, x) => `{"x":${x}}\n\n`).join(""));
    const runtime = make({ service: gated, policy: { concurrency: 4, ...policy } });
    await runtime.start();
    await until(() => existsSync(join(folder, "begun-3")));
    const stopped = runtime.stop();
    writeFileSync(join(folder, "go"), "");
    await stopped;
    expect(await runtime.finished).toEqual({ rows: 4, failed: 0, complete: false });
  };

  test("finishes what is in flight, takes nothing more in, and goes on there", async () => {
    await stoppedRun();
    expect(existsSync(join(folder, "begun-4"))).toBe(false);
    expect(readdirSync(folder)).toContain("out.jsonl.progress.json");
    expect(readdirSync(folder)).not.toContain("out.jsonl.lock");
    for (const x of [0, 1, 2, 3]) rmSync(join(folder, `begun-${x}`));
    const runtime = make(gated);
    await runtime.start();
    expect(await runtime.finished).toEqual({ rows: 50, failed: 0, complete: true });
    expect(runtime.progress).toMatchObject({ rows: 50, earlierRows: 4, totalBytes: statSync(input).size });
    expect(existsSync(join(folder, "begun-3"))).toBe(false);
    expect(written()).toEqual(Array.from({ length: 50 }, (_, x) => ({ output: x })));
    expect(readdirSync(folder).filter((name) => name.startsWith("out"))).toEqual(["out.jsonl"]);
  });

  test("gives up what outlives the grace time, and runs it again", async () => {
    writeFileSync(input, `{"x":0}\n{"x":1}\n`);
    const runtime = make(gated, { graceMs: 50 });
    await runtime.start();
    await until(() => existsSync(join(folder, "begun-1")));
    await runtime.stop();
    expect(await runtime.finished).toEqual({ rows: 0, failed: 0, complete: false });
    writeFileSync(join(folder, "go"), "");
    expect(await run(gated)).toEqual({ rows: 2, failed: 0, complete: true });
    expect(written()).toEqual([{ output: 0 }, { output: 1 }]);
  });

  test("goes on only with the same input and service", async () => {
    await stoppedRun();
    const refused = (message: RegExp) => expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) });
    const before = readFileSync(output);
    await expect(run(echo)).rejects.toEqual(refused(/with service 'gate', not 'echo'.*--restart/));
    await expect(run(gated, { input: (async function* () {})() })).rejects.toEqual(
      refused(/standard input can't be read from where.*--restart/),
    );
    const { atime, mtime } = statSync(input);
    utimesSync(input, atime, new Date(mtime.getTime() + 5_000));
    await expect(run(gated)).rejects.toEqual(refused(/before .*in\.jsonl was last changed.*--restart/));
    writeFileSync(input, `{"x":1}\n`);
    await expect(run(gated)).rejects.toEqual(refused(/when the input had \d+ bytes; .*has 8.*--restart/));
    writeFileSync(`${output}.progress.json`, "{");
    await expect(run(gated)).rejects.toEqual(refused(/is no progress file.*--restart/));
    expect(readFileSync(output)).toEqual(before);
    expect(await run(gated, { restart: true })).toEqual({ rows: 1, failed: 0, complete: true });
    expect(written()).toEqual([{ output: 1 }]);
  });

  test("begins anew where its output is gone, and repairs what was cut off", async () => {
    await stoppedRun();
    const text = readFileSync(output, "utf8");
    for (const left of [undefined, "", text.slice(0, 20), `${text}{"outp`]) {
      const progress = readFileSync(`${output}.progress.json`);
      if (left === undefined) rmSync(output);
      else writeFileSync(output, left);
      expect(await run(gated)).toEqual({ rows: 50, failed: 0, complete: true });
      expect(written()).toEqual(Array.from({ length: 50 }, (_, x) => ({ output: x })));
      writeFileSync(`${output}.progress.json`, progress);
    }
    // The last one is complete, but for the end of it.
    expect(await run(gated)).toEqual({ rows: 50, failed: 0, complete: true });
  });

  test("whose output has got more rows than the input is not gone on with", async () => {
    await stoppedRun();
    writeFileSync(output, '{"output":1}\n'.repeat(60));
    const runtime = make(gated);
    await runtime.start();
    await expect(runtime.finished).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/more rows than the input/),
    });
    expect(written()).toHaveLength(60);
  });

  test("before it had begun did nothing", async () => {
    writeFileSync(input, "1\n");
    const runtime = make(echo);
    await runtime.stop();
    await expect(runtime.start()).rejects.toMatchObject({ code: "cancelled" });
    const starting = make(
      defineService({
        name: "slow",
        setup: ({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(1))),
        call: () => 1,
      }),
    );
    const started = expect(starting.start()).rejects.toMatchObject({ code: "cancelled" });
    await until(() => starting.status?.state === "starting");
    await starting.stop();
    await started;
    expect(readdirSync(folder)).not.toContain("out.jsonl.lock");
  });
});

describe("files", () => {
  test("that are complete, or of something else, are not overwritten", async () => {
    writeFileSync(input, "1\n");
    await run(echo);
    await expect(run(echo)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/is there already.*--restart/),
    });
    writeFileSync(output, "precious");
    await expect(run(echo)).rejects.toMatchObject({ code: "invalid_argument" });
    expect(readFileSync(output, "utf8")).toBe("precious");
    expect(await run(echo, { restart: true })).toMatchObject({ rows: 1 });
  });

  test("that can't be used are named, with what to do", async () => {
    const refused = (message: RegExp) => expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) });
    await expect(run(echo)).rejects.toEqual(refused(/^There is no file .*in\.jsonl\.$/));
    await expect(run(echo, { input: folder })).rejects.toEqual(refused(/is a folder; name a file of newline-delimited JSON/));
    writeFileSync(input, "1\n");
    await expect(run(echo, { output: folder })).rejects.toEqual(refused(/is a folder/));
    await expect(run(echo, { output: join(folder, "none", "out") })).rejects.toEqual(
      refused(/^The folder of .*out does not exist; make it first\.$/),
    );
    await expect(run(echo, { output: input })).rejects.toEqual(refused(/is the input itself/));
    await expect(run(echo, { output: join(input, "out") })).rejects.toEqual(refused(/a part of its path is a file/));
    expect(readFileSync(input, "utf8")).toBe("1\n");
  });

  test("that another run writes are left to it", async () => {
    writeFileSync(input, `{"x":1}\n`);
    const runtime = make({ module, export: "gate" });
    await runtime.start();
    for (const restart of [false, true]) await expect(run(echo, { restart })).rejects.toMatchObject({ code: "unavailable" });
    writeFileSync(join(folder, "go"), "");
    expect(await runtime.finished).toMatchObject({ rows: 1, complete: true });
  });

  test.runIf(existsSync("/dev/full"))("on a full disk end the run", async () => {
    writeFileSync(input, numbers(10_000));
    const runtime = make(echo, { output: "/dev/full" });
    await runtime.start();
    await expect(runtime.finished).rejects.toMatchObject({ code: "unavailable", message: expect.stringMatching(/the disk is full/) });
    expect(readdirSync("/dev").filter((name) => name.startsWith("full"))).toEqual(["full"]);
  });

  test("whose reader has gone end the run", async () => {
    writeFileSync(input, numbers(10_000));
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error("gone"), { code: "EPIPE" })) });
    const runtime = make(echo, { output: broken });
    await runtime.start();
    await expect(runtime.finished).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/whoever read it has gone/),
    });
  });

  test("of an input that breaks off keep the rows before it", async () => {
    async function* breaking() {
      yield "1\n2\n";
      throw new Error("unplugged");
    }
    const runtime = make(echo, { input: breaking() });
    await runtime.start();
    await expect(runtime.finished).rejects.toMatchObject({ code: "unavailable", message: expect.stringMatching(/unplugged/) });
    expect(written()).toEqual([{ output: 1 }, { output: 2 }]);
  });
});
