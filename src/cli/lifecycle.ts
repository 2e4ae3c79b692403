import { messageOf } from "../errors.ts";
import type { EngineStatus } from "../engine/engine.ts";
import type { EngineLogger } from "../engine/observer.ts";

const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
/** What asks a process to end. */
export type EndingSignal = keyof typeof signalNumbers;

/** Under npm one Ctrl+C arrives twice: from the terminal, and passed on by npm. */
const sameSignalMs = 500;
/** Beyond the grace time: for closing services, some of which may hang. */
const closingMs = 15_000;
/** How often is looked whether npm still lives. */
const parentCheckMs = 500;

/**
 * Listens to what asks a process to end.
 *
 * @param onFirst - the process should end, in good order
 * @param onSecond - whoever asked has lost patience
 */
export function onEndSignals(onFirst: (signal: EndingSignal) => void, onSecond: (exitCode: number) => void): void {
  let firstAt: number | undefined;
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const now = performance.now();
      if (firstAt === undefined) {
        firstAt = now;
        onFirst(signal);
      } else if (now - firstAt > sameSignalMs) {
        onSecond(signalExitCode(signal));
      }
    });
  }
}

/**
 * Under npm or npx: has `onGone` called when what started this process is gone. A SIGTERM to npm ends npm and the shell between, and
 * neither passes it on: without this the server would live on, unseen, and hold its port. Elsewhere a process may outlive its parent.
 */
export function onNpmGone(onGone: () => void): void {
  const { npm_lifecycle_event: lifecycleEvent, npm_execpath: npmPath } = process.env;
  if (lifecycleEvent === undefined && npmPath === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onGone();
  }, parentCheckMs);
  timer.unref();
}

/** The exit code of a process that a signal ended, by the convention of shells. */
export function signalExitCode(signal: EndingSignal): number {
  return 128 + signalNumbers[signal];
}

/** Something that runs, and goes on when it was given up. */
export interface StillRunning {
  readonly name: string;
  readonly placement: string;
}

/** The services of an engine in which something runs. */
export function runningServices(status: EngineStatus | undefined): readonly StillRunning[] {
  const services = Object.entries(status?.services ?? {});
  return services.filter(([, { running }]) => running > 0).map(([name, { placement }]) => ({ name, placement }));
}

/** What a {@link Lifecycle} ends: the part of a runtime that it needs. */
export interface Stoppable {
  /** Services, or models, in which something runs. */
  running(): readonly StillRunning[];
  /** @returns the exit code, where it knows better than whoever asked for the end */
  stop(): Promise<number | undefined>;
}

/**
 * Ends this process in good order, whatever asks for it: a signal, the end of the npm that started it, the supervisor of
 * `--watch`, or an exception that nobody caught.
 * Not ready, no new work, what is in flight finishes, exit.
 */
export class Lifecycle {
  readonly #log: EngineLogger;
  readonly #graceMs: number;
  #runtime: Stoppable | undefined;
  #exitCode = 0;
  #ending: Promise<void> | undefined;

  /**
   * Listens from now on.
   *
   * @param onSignal - called at the first signal; gives the exit code, by default 0
   */
  constructor(log: EngineLogger, graceMs: number, onSignal: (signal: EndingSignal) => number = () => 0) {
    this.#log = log;
    this.#graceMs = graceMs;
    onEndSignals(
      (signal) => {
        log.info({ signal }, "stopping: what is in flight finishes first");
        void this.end(onSignal(signal));
      },
      (exitCode) => {
        this.#exitNow(exitCode);
      },
    );
    process.on("unhandledRejection", (reason) => {
      log.error(reason instanceof Error ? { err: reason } : { reason: messageOf(reason) }, "unhandled rejection");
    });
    process.on("uncaughtException", (thrown: unknown) => {
      log.error(thrown instanceof Error ? { err: thrown } : { reason: messageOf(thrown) }, "uncaught exception, stopping");
      void this.end(1);
    });
  }

  /** Ends this process with the npm that started it; see {@link onNpmGone}. */
  followNpm(): void {
    onNpmGone(() => {
      if (this.#ending === undefined) this.#log.info({}, "npm, which started this, is gone; stopping: what is in flight finishes first");
      void this.end(0);
    });
  }

  /** What has to stop before the process ends. */
  manage(runtime: Stoppable): void {
    this.#runtime = runtime;
  }

  /** Resolves never while the process ends (its end comes first); undefined while it does not. */
  get ending(): Promise<void> | undefined {
    return this.#ending;
  }

  /** Stops the runtime, then ends the process. */
  end(exitCode: number): Promise<void> {
    this.#exitCode = Math.max(this.#exitCode, exitCode);
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    setTimeout(() => {
      this.#log.error({}, "services did not close in time; they are left behind");
      this.#exitNow(1);
    }, this.#graceMs + closingMs);
    try {
      this.#exitCode = (await this.#runtime?.stop()) ?? this.#exitCode;
    } catch (thrown) {
      this.#exitCode = 1;
      this.#log.error({ err: thrown }, "stopping failed");
    }
    const left = this.#leftBehind();
    if (left.length > 0) this.#log.error({ services: left.map(({ name }) => name) }, "requests still ran when the grace time was over");
    this.#exitNow(left.length > 0 ? 1 : this.#exitCode);
    return new Promise(() => undefined);
  }

  #exitNow(exitCode: number): void {
    // Native code in a thread that is ended under it aborts the whole process, with a message that frightens and perhaps a core dump.
    // The log is written by a listener of `exit`, too, which stands before this one.
    if (this.#leftBehind().some(({ placement }) => placement === "thread")) {
      process.once("exit", () => process.kill(process.pid, "SIGKILL"));
    }
    process.exit(exitCode);
  }

  #leftBehind(): readonly StillRunning[] {
    return this.#runtime?.running() ?? [];
  }
}
