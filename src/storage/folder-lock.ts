import { randomUUID } from "node:crypto";
import { readFile, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { fileFailure, systemCode } from "./file-failure.ts";

const signOfLifeMs = 5_000;
/** Whoever shows no sign of life for so long is gone. */
const silentMs = 30_000;
const lookMs = 200;

/**
 * Does something while no other process does it under the same lock; waits for those that do. The lock only saves work: what it guards is put in
 * place with one rename, so that two who both believe to have it (one was stopped for a minute) do the work twice and spoil nothing.
 */
export async function withLock<T>(file: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const mark = `${process.pid}\n${hostname()}\n${randomUUID()}\n`;
  while (!(await take(file, mark))) {
    if (!(await isGone(file)) || !(await freed(file))) await waitABit(signal);
  }
  const timer = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, signOfLifeMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    // Another one may have taken it over.
    if ((await readFile(file, "utf8").catch(() => "")) === mark) await unlink(file).catch(() => undefined);
  }
}

/**
 * Removes a lock whose owner is gone; one process at a time: of two who saw that, the slower one would remove the lock that the faster one has taken
 * since.
 */
async function freed(file: string): Promise<boolean> {
  const turn = `${file}-turn`;
  if (!(await take(turn, `${process.pid}\n${hostname()}\n`))) {
    if (await isGone(turn)) await unlink(turn).catch(() => undefined);
    return false;
  }
  try {
    if (await isGone(file)) await unlink(file);
    return true;
  } catch {
    return false;
  } finally {
    await unlink(turn).catch(() => undefined);
  }
}

async function take(file: string, mark: string): Promise<boolean> {
  try {
    await writeFile(file, mark, { flag: "wx" });
    return true;
  } catch (thrown) {
    if (systemCode(thrown) === "EEXIST") return false;
    throw fileFailure(thrown, "written", file);
  }
}

async function waitABit(signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(lookMs, undefined, signal === undefined ? {} : { signal });
  } catch (thrown) {
    throw signal?.aborted === true ? signal.reason : thrown;
  }
}

async function isGone(file: string): Promise<boolean> {
  const [facts, text] = await Promise.all([stat(file).catch(() => undefined), readFile(file, "utf8").catch(() => "")]);
  if (facts === undefined) return false;
  if (Date.now() - facts.mtimeMs > silentMs) return true;
  const [pid = "", host] = text.split("\n");
  return host === hostname() && Number(pid) !== process.pid && !isRunning(Number(pid));
}

/** Whether there is a process of that number on this machine. */
export function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    // eslint-disable-next-line no-restricted-syntax -- signal 0 ends nobody: it asks whether there is such a process
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return systemCode(thrown) === "EPERM";
  }
}
