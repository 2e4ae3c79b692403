import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtFixture } from "../../support/fixtures.ts";
import { sized } from "../../support/sizes.ts";
import type { Checkpoint } from "../../../src/runtime/offline/checkpoint.ts";

const script = fileURLToPath(new URL("run.mjs", import.meta.url));
const rowCount = sized(1_000, 4_000);
let folder: string;
let input: string;
let whole: string;

/** Numbers that look random and are the same in every run. */
function* seeded(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state / 2 ** 32;
  }
}

function start(output: string, checkpointMs: number) {
  const child = spawn(
    process.execPath,
    [script, builtFixture("test/runtime/offline/services.ts"), "jitter", input, output, String(checkpointMs)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let stdout = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, stdout }));
  return { child, ended };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "killed-"));
  input = join(folder, "in.jsonl");
  // Blank lines, broken ones and both kinds of line breaks.
  const line = (x: number): string => `${x % 100 === 50 ? "\n" : ""}${x % 90 === 1 ? "{broken" : `{"x":${x}}`}${x % 3 === 0 ? "\r" : ""}\n`;
  writeFileSync(input, Array.from({ length: rowCount }, (_, x) => line(x)).join(""));
  const output = join(folder, "whole.jsonl");
  expect((await start(output, 1_000).ended).code).toBe(0);
  whole = readFileSync(output, "utf8");
  expect(whole.match(/\n/g)).toHaveLength(rowCount);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a run that is killed", () => {
  const kills = sized(3, 10);
  test.each([
    [0, 3],
    [20, 8],
  ])(
    `${kills} times ends with the same bytes as one that was not, with checkpoints every %i ms`,
    async (checkpointMs, seed) => {
      const output = join(folder, `out-${checkpointMs}.jsonl`);
      const progressFile = `${output}.progress.json`;
      const random = seeded(seed);
      let checkpoints = 0;
      for (let kill = 0; kill < kills; kill += 1) {
        const { child, ended } = start(output, checkpointMs);
        // Somewhere in the part of the file that this run gets to: in a write, between two, or between a write and its checkpoint.
        const size = (whole.length / (kills + 1)) * (kill + random.next().value);
        while (child.exitCode === null && (!existsSync(output) || statSync(output).size < size)) await pause(1);
        await pause(random.next().value * 10);
        child.kill("SIGKILL");
        expect((await ended).code).toBe(null);
        const soFar = readFileSync(output, "utf8");
        expect(whole.startsWith(soFar)).toBe(true);
        const { rows, outputBytes } = JSON.parse(readFileSync(progressFile, "utf8")) as Checkpoint;
        expect(whole.slice(0, outputBytes).match(/\n/g)?.length ?? 0).toBe(rows);
        if (rows > 0 && outputBytes < soFar.length) checkpoints += 1;
        // As a kill in the middle of a write leaves it, before and behind the checkpoint.
        if (kill % 3 === 1) truncateSync(output, soFar.length - 7);
        if (kill % 3 === 2) truncateSync(output, Math.max(0, outputBytes - 7));
      }
      expect(checkpoints, "kills between a checkpoint and the next one").toBeGreaterThan(0);
      const { code, stdout } = await start(output, checkpointMs).ended;
      const failed = whole.match(/^\{"error"/gm)?.length;
      expect({ code, result: JSON.parse(stdout) as unknown }).toEqual({ code: 0, result: { rows: rowCount, failed, complete: true } });
      expect(readFileSync(output, "utf8")).toBe(whole);
      expect(readdirSync(folder).filter((name) => name.startsWith(`out-${checkpointMs}`))).toEqual([`out-${checkpointMs}.jsonl`]);
    },
    180_000,
  );
});
