import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { OutputLock } from "../../../src/runtime/offline/lock.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
  path = join(folder, "out.jsonl.lock");
});
afterEach(() => rmSync(folder, { recursive: true }));

const take = () => OutputLock.take(path, "out.jsonl");
const busy = expect.objectContaining({ code: "unavailable", message: expect.stringMatching(/writes out\.jsonl/) });
const ended = (): number => spawnSync(process.execPath, ["-e", ""]).pid;
function leave(holder: object | string, secondsAgo = 0): void {
  writeFileSync(path, typeof holder === "string" ? holder : JSON.stringify(holder));
  const at = Date.now() / 1_000 - secondsAgo;
  utimesSync(path, at, at);
}

test("is held by one, until it is released", async () => {
  const lock = await take();
  await expect(take()).rejects.toEqual(busy);
  await lock.release();
  expect(existsSync(path)).toBe(false);
  await (await take()).release();
});

/** A process that takes the lock when it is told, says whether it got it, and holds it until it is told again. */
const taker = `
import { OutputLock } from ${JSON.stringify(new URL("../../../dist/runtime/offline/lock.js", import.meta.url).href)};
process.stdout.write("ready\\n");
process.stdin.once("data", async () => {
  process.stdin.once("end", () => process.exit(0));
  await OutputLock.take(process.argv[1], "out.jsonl").then(() => console.log("took"), (error) => console.log(error.code));
});
`;

test("of a process that is gone is taken over, by one of many", async () => {
  leave({ pid: ended(), host: hostname() });
  const results = await Promise.allSettled(Array.from({ length: 8 }, take));
  const [lock, ...more] = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  expect(more).toEqual([]);
  await lock?.release();
  leave({ pid: ended(), host: hostname() });
  const children = Array.from({ length: 5 }, () => spawn(process.execPath, ["--input-type=module", "-e", taker, path]));
  const ends = children.map((child) => once(child, "close"));
  const said = children.map(() => "");
  children.forEach((child, index) => child.stdout.on("data", (part: Buffer) => (said[index] = `${said[index] ?? ""}${part.toString()}`)));
  const untilAll = async (text: RegExp) => {
    while (!said.every((words) => text.test(words))) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await untilAll(/ready/);
  for (const child of children) child.stdin.write("go");
  await untilAll(/took|unavailable/);
  for (const child of children) child.stdin.end();
  await Promise.all(ends);
  expect(said.filter((words) => words.includes("took"))).toHaveLength(1);
  expect(readdirSync(folder)).toEqual(["out.jsonl.lock"]);
});

test("of a process that runs is not, but of an earlier one with the same number is", async () => {
  leave({ pid: process.ppid, host: hostname() });
  await expect(take()).rejects.toEqual(busy);
  if (process.platform === "linux") {
    leave({ pid: process.ppid, host: hostname(), startedAt: "1" });
    await (await take()).release();
  }
  // A container that starts again gives the same numbers again.
  leave({ pid: process.pid, host: hostname() });
  await (await take()).release();
});

test("of another machine is taken over once it has been silent for a minute", async () => {
  leave({ pid: 1, host: "elsewhere.test" }, 30);
  await expect(take()).rejects.toEqual(busy);
  leave({ pid: 1, host: "elsewhere.test" }, 90);
  await (await take()).release();
});

test("that says nothing is being written, or was left like that", async () => {
  leave("");
  await expect(take()).rejects.toEqual(busy);
  leave("", 30);
  await (await take()).release();
});

test("in a folder that is not there says so", async () => {
  await expect(OutputLock.take(join(folder, "none", "x.lock"), "none/x")).rejects.toMatchObject({
    code: "invalid_argument",
    message: "The folder of none/x does not exist; make it first.",
  });
});
