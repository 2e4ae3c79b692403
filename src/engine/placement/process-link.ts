import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../errors.ts";
import { forwardLines } from "./forward-lines.ts";
import type { WorkerInit } from "./messages.ts";
import type { WorkerEvents, WorkerLink } from "./worker-link.ts";

/** How long a process that has closed what it ran may take to end by itself. */
const exitMs = 1_000;
/** How long a killed process may take to be gone; one that is stuck in a driver can outlast it. */
const killedMs = 2_000;
/** How long what a process said last is waited for once it is gone. */
const lastWordsMs = 500;

/**
 * Of this process's flags a worker gets those that size its heap and tell how modules are found and errors shown. Others, such as `--inspect`,
 * `--watch` or `--import`, mean this process; `NODE_OPTIONS` reaches all.
 */
const inherited: readonly string[] = ["--enable-source-maps", "--preserve-symlinks", "--no-warnings", "--no-deprecation", "--expose-gc"];
const inheritedWithValue: readonly string[] = ["--max-old-space-size", "--max-semi-space-size", "--stack-size", "--conditions", "-C"];

/** Starts a worker process. */
export function openProcess(entry: URL, init: WorkerInit, events: WorkerEvents): WorkerLink {
  let child: ChildProcess;
  try {
    child = fork(fileURLToPath(entry), [init.service], {
      serialization: "advanced",
      execArgv: [...inheritedFlags(process.execArgv)],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
  } catch (thrown) {
    process.nextTick(() => {
      events.gone(`it could not be started: ${messageOf(thrown)}`);
    });
    return { post: () => undefined, kill: () => undefined, end: () => Promise.resolve() };
  }
  if (child.stdout !== null) forwardLines(child.stdout, process.stdout);
  if (child.stderr !== null) forwardLines(child.stderr, process.stderr);

  let isGone = false;
  let onGone: (() => void) | undefined;
  const gone = (how: string): void => {
    if (isGone) return;
    isGone = true;
    events.gone(how);
    onGone?.();
  };
  child.on("message", (message: unknown) => {
    if (!isGone) events.message(message);
  });
  child.on("error", (thrown) => {
    // Of one that lives this is a message that did not get through, and its end, which follows, says more.
    if (child.pid === undefined) gone(`it could not be started: ${messageOf(thrown)}`);
  });
  child.once("exit", (code, signal) => {
    const how = signal === null ? `it ended by itself with exit code ${code ?? 0}` : `it was ended by ${signal}`;
    if (!child.connected) {
      gone(how);
      return;
    }
    // Its last answers may still be on the way.
    child.once("disconnect", () => {
      gone(how);
    });
    setTimeout(gone, lastWordsMs, how).unref();
  });

  const goneWithin = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (isGone) {
        resolve();
        return;
      }
      const timer = setTimeout(resolve, ms);
      onGone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const post = (message: object): void => {
    // A failure to send is no news: what can't hear any more is about to be gone.
    child.send(message, () => undefined);
  };
  post(init);
  return {
    post,
    kill: () => void child.kill("SIGKILL"),
    async end() {
      await goneWithin(exitMs);
      if (isGone) return;
      child.kill("SIGKILL");
      await goneWithin(killedMs);
      child.unref();
    },
  };
}

/** The flags that a worker process gets. @internal */
export function inheritedFlags(flags: readonly string[]): readonly string[] {
  return flags.flatMap((flag, index) => {
    const [name = "", value] = flag.split("=", 2);
    if (inherited.includes(flag)) return [flag];
    if (!inheritedWithValue.includes(name)) return [];
    // The value may stand in the next place.
    return value === undefined ? flags.slice(index, index + 2) : [flag];
  });
}
