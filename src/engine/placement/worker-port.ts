/** A worker's way to its engine. Nothing else of a worker knows whether it lives in a thread or in a process. */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { ServableError, causeText, messageOf } from "../../errors.ts";
import type { HostMessage, WorkerInit } from "./messages.ts";

/** A worker's way to its engine. */
export interface WorkerPort<To> {
  readonly init: WorkerInit;
  /** Whether the engine can end this worker in the middle of a run. */
  readonly canBeKilled: boolean;
  /** @param transfer - what may be handed over instead of copied */
  send(message: object, transfer?: readonly ArrayBuffer[]): void;
  /** Has all messages told to a listener, those that came before included. Called once. */
  listen(listener: (message: To) => void): void;
  /** Says a last word; after it nothing is heard any more, and a process ends. */
  end(lastWord: object): void;
}

/** Opens this worker's port. */
export async function openPort<To>(): Promise<WorkerPort<To>> {
  if (parentPort !== null) return threadPort(parentPort);
  if (isMainThread && process.send !== undefined) return processPort();
  throw new ServableError("internal", "A worker runs in a thread or a process that its engine has started.");
}

/* eslint-disable no-restricted-syntax -- here the whole process, or what a thread sees as one, is the worker's, and this is where it listens to it and ends it */

function threadPort<To>(port: NonNullable<typeof parentPort>): WorkerPort<To> {
  // Node would hand over what was thrown as it is, and some errors it can't: one whose cause leads back to itself is read without end, on the server's thread.
  tellUncaught((lastWord) => {
    port.postMessage(lastWord);
    process.exit(1);
  });
  return {
    init: workerData as WorkerInit,
    canBeKilled: false,
    send: (message, transfer = []) => {
      port.postMessage(message, transfer);
    },
    listen: (listener) => void port.on("message", listener),
    end: (lastWord) => {
      port.postMessage(lastWord);
      port.close();
    },
  };
}

async function processPort<To>(): Promise<WorkerPort<To>> {
  // Ctrl+C in a terminal goes to all processes there; when this one ends is the engine's to say.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  process.once("disconnect", () => process.exit());
  tellUncaught((lastWord) => {
    post(lastWord, () => process.exit(1));
  });
  dieWithParent();
  // Each message in a turn of its own. Node hands on all that it has read in one, with no promise settled between them: an answer that is there would not
  // be sent before the next call begins, and never if that one hangs.
  let receive: ((message: To) => void) | undefined;
  const early: To[] = [];
  const init = await new Promise<WorkerInit>((resolve) => {
    let isFirst = true;
    process.on("message", (message) => {
      if (isFirst) resolve(message as WorkerInit);
      else if (receive === undefined) early.push(message as To);
      else setImmediate(receive, message as To);
      isFirst = false;
    });
  });
  return {
    init,
    canBeKilled: true,
    send: (message) => {
      post(message);
    },
    listen: (listener) => {
      receive = listener;
      for (const message of early) setImmediate(listener, message);
    },
    end: (lastWord) => {
      post(lastWord, () => process.exit());
    },
  };
}

/** @param end - says what was thrown, as text, and ends the worker */
function tellUncaught(end: (lastWord: HostMessage) => void): void {
  process.on("uncaughtException", (thrown: unknown) => {
    // The service's own listener has the say.
    if (process.listenerCount("uncaughtException") > 1) return;
    end({ type: "threw", message: messageOf(thrown), stack: causeText(thrown) });
  });
}

/** @param sent - called when it has left, or can't */
function post(message: object, sent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, undefined, undefined, sent);
}

/**
 * Ends this process when the one that started it is gone. News of that comes over the channel, too, but only a loop that turns hears it, and a
 * call that hangs would live on for ever: hence a thread that looks.
 */
function dieWithParent(): void {
  const code = `
    const parent = require("node:worker_threads").workerData;
    setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, "SIGKILL"); }, 500);
  `;
  const resourceLimits = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 };
  const watcher = new Worker(code, { eval: true, name: "servable:parent", workerData: process.ppid, execArgv: [], resourceLimits });
  // Without it a hung orphan stays, and all else works.
  watcher.on("error", () => undefined);
  watcher.unref();
}
