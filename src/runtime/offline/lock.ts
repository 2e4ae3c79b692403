import { readFile, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ServableError } from "../../errors.ts";
import { fileFailure, systemCode } from "./file-failure.ts";

/** Who writes an output. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, as Linux counts it: another process may have got the number since. */
  readonly startedAt?: string | undefined;
}

/** A holder on another machine can't be looked at; it is gone when it has shown no sign of life for this long. */
const silentMs = 60_000;
const signOfLifeMs = 15_000;
/** A lock that says nothing is being written, unless it has said nothing for this long. */
const writingMs = 10_000;
const guardWaitMs = 20;

/** Those of this process. */
const held = new Set<string>();

/** Keeps two runs from writing one output. A lock outlives a killed run; the next one sees that its holder is gone, and takes it over. */
export class OutputLock {
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;

  private constructor(path: string) {
    this.#path = path;
    this.#timer = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, signOfLifeMs).unref();
  }

  /** @throws ServableError `unavailable` where another run holds it */
  static async take(path: string, output: string): Promise<OutputLock> {
    const own = resolve(path);
    if (held.has(own)) throw busy(path, output, undefined);
    held.add(own);
    try {
      await create(own, output);
    } catch (thrown) {
      held.delete(own);
      throw thrown;
    }
    return new OutputLock(own);
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    held.delete(this.#path);
    await unlink(this.#path).catch(() => undefined);
  }
}

async function create(path: string, output: string): Promise<void> {
  const holder: Holder = { pid: process.pid, host: hostname(), startedAt: await startOf(process.pid) };
  const text = `${JSON.stringify(holder)}\n`;
  while (!(await createOnce(path, text, output))) await takeAway(path, output);
}

/** @returns false where it is there already */
async function createOnce(path: string, text: string, output: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: "wx" });
    return true;
  } catch (thrown) {
    if (systemCode(thrown) === "EEXIST") return false;
    throw fileFailure(thrown, "written", output);
  }
}

function busy(path: string, output: string, holder: Holder | undefined): ServableError {
  const who = holder === undefined ? "Another run" : `Another run (process ${holder.pid} on ${holder.host})`;
  return new ServableError("unavailable", `${who} writes ${output}. Wait for it, or stop it. If there is none, delete ${path}.`);
}

/**
 * Takes a lock away whose holder is gone. One at a time does so: what a second one takes away might be the lock of the first.
 *
 * @throws ServableError `unavailable` where the holder lives
 */
async function takeAway(path: string, output: string): Promise<void> {
  await refuseAlive(path, output);
  const guard = `${path}.takeover`;
  if (!(await createOnce(guard, "", output))) {
    if ((await silence(guard)) > writingMs) await unlink(guard).catch(() => undefined);
    await pause(guardWaitMs);
    return;
  }
  try {
    await refuseAlive(path, output);
    await unlink(path).catch(() => undefined);
  } finally {
    await unlink(guard).catch(() => undefined);
  }
}

async function refuseAlive(path: string, output: string): Promise<void> {
  const text = await readText(path);
  if (text === undefined) return;
  const holder = readHolder(text);
  if (await isAlive(path, holder)) throw busy(path, output, holder);
}

async function isAlive(path: string, holder: Holder | undefined): Promise<boolean> {
  if (holder === undefined) return (await silence(path)) < writingMs;
  if (holder.host !== hostname()) return (await silence(path)) < silentMs;
  // Of this process it would be known: an earlier one had the same number, as they do in a container that starts again.
  if (holder.pid === process.pid) return false;
  if (!isRunning(holder.pid)) return false;
  const startedAt = await startOf(holder.pid);
  return startedAt === undefined || holder.startedAt === undefined || startedAt === holder.startedAt;
}

async function silence(path: string): Promise<number> {
  const stats = await stat(path).catch(() => undefined);
  return stats === undefined ? Infinity : Date.now() - stats.mtimeMs;
}

function isRunning(pid: number): boolean {
  try {
    // eslint-disable-next-line no-restricted-syntax -- signal 0 ends nobody: it asks whether there is such a process
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return systemCode(thrown) === "EPERM";
  }
}

/** Only Linux tells: the 22nd field of its stat, of which the second is a name in brackets that may hold anything. */
async function startOf(pid: number): Promise<string | undefined> {
  const text = await readText(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19];
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}

function readHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    return typeof value.pid === "number" && typeof value.host === "string" ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}
