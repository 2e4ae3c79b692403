import { ServableError, errorFromData, messageOf } from "../../errors.ts";
import type { Logger } from "../../service/service.ts";
import { closeMs } from "./close-in-time.ts";
import type { HostMessage, WorkerInit } from "./messages.ts";
import { openProcess } from "./process-link.ts";
import { openThread } from "./thread-link.ts";
import type { WorkerKind, WorkerLink } from "./worker-link.ts";

/** Who uses a {@link WorkerHost}. */
export interface WorkerOwner<From> {
  /** A message that is not about the worker's own life. */
  receive(message: From): void;
  /** The worker is gone; what was in it is lost. */
  failAll(reason: string): void;
  /** Whether something runs in it. */
  busy(): boolean;
}

/** What a worker is started as. */
export interface WorkerStart {
  readonly kind: WorkerKind;
  readonly init: WorkerInit;
  readonly log: Logger;
  /** How long something that nobody waits for may go on in a process before the process is killed. */
  readonly killAfterMs: number;
}

/** The life of one worker, thread or process: start, readiness, log lines, crash, stop. */
export class WorkerHost<To extends object, From extends { readonly type: string }> {
  readonly #service: string;
  readonly #link: WorkerLink;
  readonly #log: Logger;
  readonly #owner: WorkerOwner<From>;
  readonly #exited: Promise<void>;
  #crashReason: string | undefined;
  #gone = false;
  #killed = false;
  #warmupMs: number | undefined;
  #stopped: (() => void) | undefined;
  #started: { readonly resolve: () => void; readonly reject: (error: ServableError) => void } | undefined;

  /**
   * @param entry - the worker's module
   * @param onExit - called when the worker is gone, with the reason
   */
  constructor(entry: URL, { kind, init, log }: WorkerStart, owner: WorkerOwner<From>, onExit: (reason: string) => void) {
    this.#service = init.service;
    this.#log = log;
    this.#owner = owner;
    let exited: () => void = () => undefined;
    this.#exited = new Promise((resolve) => {
      exited = resolve;
    });
    const open = kind === "process" ? openProcess : openThread;
    this.#link = open(entry, init, {
      message: (message) => {
        try {
          this.#receive(message as HostMessage | From);
        } catch (thrown) {
          // The worker's code has the same port, and libraries find it, too (`process.send("ready")`); what they say is not for here.
          this.#log.error({ err: thrown }, "a worker sent what is no message of servable's");
        }
      },
      threw: (thrown) => {
        this.#threw(thrown);
      },
      gone: (how) => {
        this.#gone = true;
        const reason = this.#crashReason ?? how;
        this.#started?.reject(
          new ServableError("worker_crashed", `A worker of service '${this.#service}' crashed while it started: ${reason}`),
        );
        owner.failAll(reason);
        exited();
        onExit(reason);
      },
    });
  }

  /** Whether a run in it that won't stop can be stopped by ending the worker. */
  get canKill(): boolean {
    return this.#link.kill !== undefined;
  }

  /** Whether it has ended. */
  get gone(): boolean {
    return this.#gone;
  }
  /** Whether it was killed, and so did not crash. */
  get killed(): boolean {
    return this.#killed;
  }

  /** How long its warm-up took; undefined where it had none. */
  get warmupMs(): number | undefined {
    return this.#warmupMs;
  }

  /** Resolves when the worker has set up what it runs. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
    });
  }

  send(message: To, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#gone) this.#link.post(message, transfer);
  }

  /** Ends a process at once, with everything in it; a thread is left as it is. */
  kill(why: string): void {
    if (this.#gone || this.#killed || this.#link.kill === undefined) return;
    this.#killed = true;
    this.#crashReason = `killed: ${why}`;
    this.#log.warn({ reason: why }, "worker killed");
    this.#link.kill();
  }

  /**
   * Closes what the worker runs and ends it. A thread in which something still runs is left alone: ending it while native
   * code runs would abort the whole process.
   */
  async stop(): Promise<void> {
    if (this.#gone) return;
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    this.#link.post({ type: "stop" }, []);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMs);
    });
    await Promise.race([stopped, this.#exited, late]);
    clearTimeout(timer);
    await this.#link.end(this.#owner.busy());
  }

  #threw(thrown: unknown): void {
    this.#crashReason ??= messageOf(thrown).split("\n")[0];
    this.#log.error({ err: thrown }, "worker crashed");
  }

  #receive(message: HostMessage | From): void {
    switch (message.type) {
      case "ready":
        this.#warmupMs = (message as Extract<HostMessage, { readonly type: "ready" }>).warmupMs;
        this.#started?.resolve();
        return;
      case "failed": {
        const { error } = message as Extract<HostMessage, { readonly type: "failed" }>;
        this.#crashReason = error.message;
        this.#started?.reject(errorFromData(error));
        // What it had begun to load (a timer, a socket) may keep it alive.
        void this.#link.end(false);
        return;
      }
      case "threw": {
        const { message: text, stack } = message as Extract<HostMessage, { readonly type: "threw" }>;
        this.#threw(Object.assign(new Error(text), { stack }));
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
