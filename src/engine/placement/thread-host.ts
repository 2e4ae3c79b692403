import { Worker } from "node:worker_threads";
import { ServableError, errorFromData, messageOf } from "../../errors.ts";
import type { Logger } from "../../service/service.ts";
import type { HostMessage, WorkerInit } from "./messages.ts";

/** How long a worker may take to close what it runs once nothing runs in it. */
const stopTimeoutMs = 5_000;

/** Who uses a {@link ThreadHost}. */
export interface ThreadOwner<From> {
  /** A message that is not about the thread's own life. */
  receive(message: From): void;
  /** The thread is gone; what was in it is lost. */
  failAll(reason: string): void;
  /** Whether something runs in it. */
  busy(): boolean;
}

/** The life of one worker thread: start, readiness, log lines, crash, stop. */
export class ThreadHost<To, From extends { readonly type: string }> {
  readonly #service: string;
  readonly #worker: Worker;
  readonly #log: Logger;
  readonly #owner: ThreadOwner<From>;
  readonly #exited: Promise<void>;
  #crashReason: string | undefined;
  #gone = false;
  #stopped: (() => void) | undefined;
  #started: { readonly resolve: () => void; readonly reject: (error: ServableError) => void } | undefined;

  /**
   * @param entry - the thread's module
   * @param onExit - called when the thread is gone, with the reason
   */
  constructor(entry: URL, init: WorkerInit, log: Logger, owner: ThreadOwner<From>, onExit: (reason: string) => void) {
    this.#service = init.service;
    this.#log = log;
    this.#owner = owner;
    this.#worker = new Worker(entry, { workerData: init, name: `servable:${init.service}` });
    this.#worker.on("message", (message: HostMessage | From) => {
      this.#receive(message);
    });
    this.#worker.on("error", (thrown) => {
      this.#crashReason ??= messageOf(thrown).split("\n")[0];
      this.#log.error({ err: thrown }, "worker crashed");
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once("exit", (code) => {
        this.#gone = true;
        const reason = this.#crashReason ?? `it ended by itself with exit code ${code}`;
        this.#started?.reject(
          new ServableError("worker_crashed", `A worker of service '${this.#service}' crashed while it started: ${reason}`),
        );
        owner.failAll(reason);
        resolve();
        onExit(reason);
      });
    });
  }

  /** Resolves when the thread has set up what it runs. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
    });
  }

  send(message: To, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#gone) this.#worker.postMessage(message, transfer);
  }

  /**
   * Closes what the thread runs and ends it. A thread in which something still runs is left alone: ending it while native
   * code runs would abort the whole process.
   */
  async stop(): Promise<void> {
    if (this.#gone) return;
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    this.#worker.postMessage({ type: "stop" });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, stopTimeoutMs);
    });
    await Promise.race([stopped, this.#exited, late]);
    clearTimeout(timer);
    if (this.#owner.busy()) this.#worker.unref();
    else await this.#worker.terminate();
  }

  #receive(message: HostMessage | From): void {
    switch (message.type) {
      case "ready":
        this.#started?.resolve();
        return;
      case "failed": {
        const { error } = message as Extract<HostMessage, { readonly type: "failed" }>;
        this.#crashReason = error.message;
        this.#started?.reject(errorFromData(error));
        // What it had begun to load (a timer, a socket) may keep it alive.
        void this.#worker.terminate();
        return;
      }
      case "log": {
        const { level, fields, message: text } = message as Extract<HostMessage, { readonly type: "log" }>;
        this.#log[level](fields, text);
        return;
      }
      case "stopped":
        this.#stopped?.();
        return;
      default:
        this.#owner.receive(message as From);
    }
  }
}
