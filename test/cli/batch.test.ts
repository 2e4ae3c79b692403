import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { sized } from "../support/sizes.ts";
import { Server, makeFolder, removeFolder, runCli, type CommandOptions, type CommandResult } from "./support.ts";

const services = builtFixture("test/runtime/offline/services.ts");
const twoServices = builtFixture("test/cli/services.ts");
let folder: string;
let started: Server | undefined;

// Each start of the command takes a second or more on a machine that has other things to do.
vi.setConfig({ testTimeout: 180_000 });

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(async () => {
  if (started?.hasExited === false) {
    started.child.kill("SIGKILL");
    await started.exited;
  }
  await removeFolder(folder);
});

const words = (name: string, ...rest: readonly string[]): string[] => [
  "batch",
  services,
  "in.jsonl",
  "out.jsonl",
  "--export",
  name,
  ...rest,
];
const options = (): CommandOptions => ({ cwd: folder, env: { OFFLINE_TEST_FOLDER: folder } });
const batch = (name: string, ...rest: readonly string[]): Promise<CommandResult> => runCli(words(name, ...rest), options());
const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);
const output = (name = "out.jsonl"): Promise<string> => readFile(join(folder, name), "utf8");
const outputs = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith("out")).sort();
function start(...parameters: readonly string[]): Server {
  started = new Server(parameters, options());
  return started;
}
const rows = (count: number, first = 1): string => Array.from({ length: count }, (_, index) => `{"x":${first + index}}\n`).join("");

/** Numbers that look random and are the same in every run. */
function* seeded(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

describe("servable batch", () => {
  test("answers each line, and tells by its exit code whether all is well", async () => {
    await write("in.jsonl", rows(3));
    const fine = await batch("batched");
    expect(fine).toMatchObject({ code: 0, stdout: "" });
    expect(fine.stderr).toMatch(/^servable: done: 3 rows in \d+s(, [\d.,]+ rows\/s)?, 0 failed\n$/);
    expect(await output()).toBe('{"output":{"y":2}}\n{"output":{"y":4}}\n{"output":{"y":6}}\n');
    expect(await outputs()).toEqual(["out.jsonl"]);

    await write("in.jsonl", `{"x":1}\n\n{"x":17}\n`);
    const refused = await batch("jitter");
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/^servable: out\.jsonl is there already.*--restart.*\n$/) });
    const failing = await batch("jitter", "--restart", "--quiet", "--log-level", "silent");
    expect(failing).toMatchObject({ code: 3, stdout: "", stderr: "" });
    expect((await output()).split("\n")[1]).toMatch(/^\{"error":\{.*"code":"service_failed","requestId":"line-3"\},"line":3\}$/);
  });

  test("says what fails on the service's side, in the log on standard error", async () => {
    await write("in.jsonl", `{"x":17}\n`);
    const { stderr } = await batch("jitter", "--log-format", "json");
    const [line = "", done] = stderr.trim().split("\n");
    expect(JSON.parse(line)).toMatchObject({
      level: 50,
      requestId: "line-1",
      outcome: "service_failed",
      cause: expect.stringMatching(/unlucky/),
    });
    expect(done).toMatch(/^servable: done: 1 row .*, 1 failed$/);
    expect((await batch("jitter", "--restart", "--log-format", "pretty")).stderr).toMatch(/ERROR.*request failed.*unlucky/s);
  });

  test("is a filter between standard input and output", async () => {
    const parameters = ["batch", services, "-", "-", "--export", "jitter"];
    const result = await runCli(parameters, { ...options(), input: `{"x":1}\n{"x":2}` });
    expect(result).toMatchObject({ code: 0, stdout: '{"output":{"y":2}}\n{"output":{"y":4}}\n' });
    expect(result.stderr).toMatch(/^servable: done: 2 rows/);
  });

  test("says in one line what is wrong with the command", async () => {
    await write("in.jsonl", rows(1));
    const wrong = async (pattern: RegExp, ...parameters: readonly string[]): Promise<void> => {
      const result = await runCli(["batch", ...parameters], options());
      expect(result).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(pattern) });
      expect(result.stderr.trim().split("\n")).toHaveLength(1);
    };
    await wrong(/There is no file none\.jsonl\./, services, "none.jsonl", "out.jsonl", "--export", "jitter");
    await wrong(/is a folder; name a file of newline/, services, ".", "out.jsonl", "--export", "jitter");
    await wrong(/The folder of no\/out\.jsonl does not exist; make it first\./, services, "in.jsonl", "no/out.jsonl", "--export", "jitter");
    await wrong(/Service 'shout' does not speak JSON/, twoServices, "in.jsonl", "out.jsonl", "--export", "shout");
    await wrong(/missing required argument 'output'/, services, "in.jsonl");
    await wrong(/--workers.*must be a whole number/, services, "in.jsonl", "out.jsonl", "--workers", "none");
    expect(await runCli(["batch", services, "in.jsonl", "out.jsonl"], options())).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/exports 5 services .*; say which one with `export`/),
    });
    expect(await outputs()).toEqual([]);
  });
});

describe("a batch that is broken off", () => {
  test("by a signal finishes what is in flight, says how to go on, and does", async () => {
    await write("in.jsonl", rows(40));
    for (const [signal, code, go] of [
      ["SIGINT", 130, false],
      ["SIGTERM", 143, true],
    ] as const) {
      const server = start(...words("gate", "--concurrency", "8"));
      await server.until(() => existsSync(join(folder, `begun-8`)));
      server.child.kill(signal);
      await server.until(() => server.stderr.includes(`${signal}: no more rows are begun`));
      if (go) await write("go", "");
      else server.child.kill("SIGKILL");
      expect(await server.exited).toBe(go ? code : "SIGKILL");
      if (go) expect(server.stderr).toMatch(/servable: stopped: out\.jsonl has 8 rows; give the same command again to go on\n$/);
      expect((await output()).split("\n")).toHaveLength(go ? 9 : 1);
      await rm(join(folder, "begun-8"));
    }
    const { code, stderr } = await batch("gate");
    expect(stderr).toMatch(/^servable: going on behind 8 rows\nservable: done: 40 rows/);
    expect(code).toBe(0);
    expect(await output()).toBe(Array.from({ length: 40 }, (_, index) => `{"output":${index + 1}}\n`).join(""));
    expect(await outputs()).toEqual(["out.jsonl"]);
  });

  test("that has all its rows when it ends is complete, whatever asked for the end", async () => {
    await write("in.jsonl", rows(2));
    const server = start(...words("gate"));
    await server.until(() => existsSync(join(folder, "begun-2")));
    // Only when it has looked for more, too.
    await pause(200);
    server.child.kill("SIGTERM");
    await server.until(() => server.stderr.includes("SIGTERM"));
    await write("go", "");
    expect(await server.exited).toBe(0);
    expect(await outputs()).toEqual(["out.jsonl"]);
  });

  test.each([
    ["jitter", sized(2, 10)],
    ["batched", sized(1, 4)],
  ])("by kills at any moment ends with the same bytes as one that was not (%s, %i times)", async (name, mostKills) => {
    const count = sized(1_500, 3_000);
    // Every hundredth row has a blank line before it and a broken row behind it.
    await write(
      "in.jsonl",
      rows(count)
        .replaceAll(/\{"x":(\d*50)\}\n/g, '\n{"x":$1}\r\n{broken\n')
        .replace('{"x":666}', '{"x":6}'),
    );
    const [, , , , ...flags] = words(name, "--log-level", "silent");
    expect(await runCli(["batch", services, "in.jsonl", "whole.jsonl", ...flags], options())).toMatchObject({ code: 3 });
    const whole = await output("whole.jsonl");
    expect(whole.match(/\n/g)).toHaveLength(count + count / 100);

    const random = seeded(4);
    let kills = 0;
    let inTheMiddle = 0;
    for (let code: number | string = "SIGKILL"; code === "SIGKILL";) {
      const server = start("batch", services, "in.jsonl", "out.jsonl", ...flags);
      if (kills < mostKills) {
        // Somewhere in the part of the file that this run gets to: between two writes, in one, or before the first.
        const size = (whole.length / (mostKills + 1)) * (kills + random.next().value);
        const sizeNow = async (): Promise<number> => (await stat(join(folder, "out.jsonl")).catch(() => undefined))?.size ?? 0;
        await server.until(async () => (await sizeNow()) >= size);
        await pause(random.next().value * 20);
        server.child.kill("SIGKILL");
      }
      code = await server.exited;
      const soFar = await output();
      expect(whole.startsWith(soFar)).toBe(true);
      if (code !== "SIGKILL") break;
      kills += 1;
      if (soFar.length > 0 && soFar.length < whole.length) inTheMiddle += 1;
      // As a kill in the middle of a write leaves it.
      if (kills % 2 === 0) await write("out.jsonl", soFar.slice(0, -7));
    }
    expect(kills).toBe(mostKills);
    expect(inTheMiddle).toBeGreaterThan(mostKills / 2);
    expect(await output()).toBe(whole);
    expect(await outputs()).toEqual(["out.jsonl"]);
  });

  test("by a file that may not grow keeps what is whole, and goes on when there is room", async () => {
    await write("in.jsonl", rows(2_000));
    // The limit is in blocks of 512 or 1024 bytes, by shell.
    const limited = ["-c", 'ulimit -f 16; exec "$0" "$@"', process.execPath];
    const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
    const child = spawn("sh", [...limited, cli, ...words("jitter", "--log-level", "silent")], {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
    expect((await once(child, "close"))[0]).toBe(1);
    expect(stderr).toMatch(
      /stopped: out\.jsonl has \d+ rows.*give the same command again to go on\nservable: out\.jsonl can't be written any further/,
    );
    expect((await output()).length % 512).toBe(0);
    const again = await batch("jitter", "--log-level", "silent");
    expect(again).toMatchObject({ code: 3, stderr: expect.stringMatching(/^servable: going on behind \d+ rows\n/) });
    const lines = (await output()).trimEnd().split("\n");
    expect(lines).toHaveLength(2_000);
    lines.forEach((line, index) => {
      expect(line).toContain((index + 1) % 17 === 0 ? `"line":${index + 1}}` : `{"output":{"y":${2 * (index + 1)}}}`);
    });
  });

  test("leaves its output to the one that goes on with it", async () => {
    await write("in.jsonl", rows(4));
    const first = start(...words("gate"));
    await first.until(() => existsSync(join(folder, "begun-4")));
    const second = await batch("gate");
    expect(second).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^servable: Another run \(process \d+ on .*\) writes out\.jsonl\..*out\.jsonl\.lock\.\n$/),
    });
    await write("go", "");
    expect(await first.exited).toBe(0);
  });
});

describe("memory", () => {
  const large = sized(60, 200);
  test(`does not grow with the file, of ${large} MiB`, async () => {
    const peak = async (megabytes: number): Promise<number> => {
      const file = createWriteStream(join(folder, "in.jsonl"));
      const line = `${JSON.stringify({ text: "x".repeat(2_000) })}\n`;
      const block = line.repeat(500);
      for (let written = 0; written < megabytes * 1024 * 1024; written += block.length) {
        if (!file.write(block)) await once(file, "drain");
      }
      file.end();
      await once(file, "close");
      const env = { OFFLINE_TEST_FOLDER: folder, NODE_OPTIONS: "--max-old-space-size=64" };
      const result = await runCli(words("lengths", "--restart"), { cwd: folder, env });
      expect(result).toMatchObject({ code: 0 });
      expect((await output()).match(/\n/g)).toHaveLength((await stat(join(folder, "in.jsonl"))).size / line.length);
      return Number(await output("peak")) / 1024;
    };
    const small = await peak(10);
    expect(await peak(large)).toBeLessThan(small + large / 2);
  });
});
