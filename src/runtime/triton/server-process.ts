import { spawn, type ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { ServableError, messageOf } from "../../errors.ts";
import { readLines } from "./read-lines.ts";
import { freeSharedMemory, sharedMemoryOf } from "./shared-memory.ts";

/** What is started. */
export interface ServerCommand {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A folder that is nobody's when this process dies without a word, and is deleted then. @default none */
  readonly ownFolder?: string | undefined;
}

/** How a process ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Before the shell becomes the server, it leaves a watcher behind, in the server's process group: `cat` waits at the third descriptor, whose other
 * end only this process holds, and returns when this process is gone, however that came about (kill -9 too). Then the whole group is killed. A
 * server that hangs, or that somebody stopped, can't escape that, and no server has to know of it.
 */
const withWatcher = '{ cat >/dev/null; [ -z "$0" ] || rm -rf -- "$0"; kill -KILL 0; } <&3 3<&- >/dev/null 2>&1 & exec "$@" 3<&-';

/** How long what was said last is waited for once a process is gone, and those of its group are killed; one that is stuck in a driver can outlast it. */
const lastWordsMs = 2_000;

/** A server as a process group of its own: what it starts ends with it. */
export class ServerProcess {
  /** Resolves when it has ended, all that it started too, and all that they said was read. */
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  #exit: ServerExit | undefined;
  #memory: readonly string[] = [];

  /**
   * Starts it. That it could not be started is an exit, too, with a line that says why.
   *
   * @param onLine - gets what it prints
   */
  constructor(command: ServerCommand, onLine: (line: string) => void) {
    let child: ChildProcess;
    try {
      child = spawn("/bin/sh", ["-c", withWatcher, command.ownFolder ?? "", command.file, ...command.arguments], {
        env: environmentOf(command.environment),
        detached: true,
        stdio: ["ignore", "pipe", "pipe", "pipe"],
      });
    } catch (thrown) {
      throw new ServableError("load_failed", `${command.file} can't be started: ${messageOf(thrown)}`, { cause: thrown });
    }
    this.#child = child;
    const streams = [child.stdout, child.stderr].filter((stream): stream is Readable => stream !== null);
    const said = Promise.all(streams.map((stream) => readLines(stream, onLine)));
    const lifeline = child.stdio[3];
    lifeline?.on("error", () => undefined);
    this.exited = new Promise<ServerExit>((resolve) => {
      child.once("exit", (code, signal) => {
        resolve({ code, signal });
      });
      child.once("error", (thrown) => {
        if (child.pid !== undefined) return;
        onLine(`error: it can't be started: ${messageOf(thrown)}`);
        resolve({ code: 127, signal: null });
      });
    }).then(async (exit) => {
      this.#exit = exit;
      const memory = child.pid === undefined ? [] : sharedMemoryOf(child.pid);
      this.#killGroup();
      // Its output ends when the last one that holds it is gone.
      await Promise.race([said, sleep(lastWordsMs, undefined, { ref: false })]);
      freeSharedMemory([...this.#memory, ...memory]);
      lifeline?.destroy();
      for (const stream of streams) stream.destroy();
      return exit;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How it ended; undefined while it runs. */
  get exit(): ServerExit | undefined {
    return this.#exit;
  }

  /** Kills it, and all that it started. */
  async kill(): Promise<ServerExit> {
    if (this.#exit === undefined) {
      // Its processes are gone with it, and nobody could ask them any more.
      if (this.pid !== undefined) this.#memory = sharedMemoryOf(this.pid);
      this.#killGroup();
    }
    return this.exited;
  }

  /** Asks it to end, and kills it when it has not within the time. @returns whether it had to be killed */
  async end(graceMs: number): Promise<boolean> {
    if (this.#exit === undefined) this.#child.kill("SIGTERM");
    const timer = new AbortController();
    const late = await Promise.race([this.exited.then(() => false), sleep(graceMs, true, { signal: timer.signal }).catch(() => false)]);
    timer.abort();
    if (late && this.#exit === undefined) {
      await this.kill();
      return true;
    }
    await this.exited;
    return false;
  }

  #killGroup(): void {
    const { pid } = this;
    if (pid === undefined) return;
    try {
      // eslint-disable-next-line no-restricted-syntax -- the group that it started; a child's own kill() reaches the child alone
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nobody is left in it.
    }
  }
}

function environmentOf(changes: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const all = { ...process.env, ...changes };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
