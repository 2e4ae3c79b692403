import { Engine, type EngineStatus } from "../../engine/engine.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import type { ServiceSource } from "../../engine/service-source.ts";
import { ServableError } from "../../errors.ts";

/** What a {@link LazyEngine} is made of. */
export interface LazyEngineOptions {
  readonly services: readonly ServiceSource[];
  /** @default pino at level error, to standard output */
  readonly log: EngineLogger | undefined;
  readonly observers: readonly Observer[];
}

const pauseMs = 1_000;
const notYet: EngineStatus = { state: "unstarted", ready: false, degraded: false, reason: "unstarted", services: {} };
let defaultLog: Promise<EngineLogger> | undefined;

/**
 * An engine that starts when it is first needed. One whose services could not be set up is replaced, and the next request tries
 * again: one attempt at a time, a second apart.
 */
export class LazyEngine {
  readonly #options: LazyEngineOptions;
  #log: EngineLogger | undefined;
  #made: Promise<Engine> | undefined;
  #engine: Engine | undefined;
  #attempt: Promise<Engine> | undefined;
  #failure: { readonly thrown: unknown; readonly at: number } | undefined;
  #closing: Promise<boolean> | undefined;

  constructor(options: LazyEngineOptions) {
    this.#options = options;
  }

  /** Starts it, or waits for the start under way. @throws what kept the services from being set up, `cancelled` where it was closed */
  start(): Promise<Engine> {
    if (this.#attempt !== undefined) return this.#attempt;
    const failure = this.#failure;
    if (failure !== undefined && performance.now() - failure.at < pauseMs) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what a setup threw is an error of ours by then
      return Promise.reject(failure.thrown);
    }
    this.#attempt = this.#start();
    return this.#attempt;
  }

  /** Starts it, and waits for nothing: who asks for its health gets the truth of the moment. */
  begin(): void {
    // A failure is logged, and the status tells of it.
    if (this.#closing === undefined) this.start().catch(() => undefined);
  }

  /** The engine, started. @throws ServableError `not_ready` */
  async ready(): Promise<Engine> {
    if (this.#closing === undefined) {
      try {
        return await this.start();
      } catch {
        // It may have been closed in the meantime.
      }
    }
    const why = this.#isClosing ? "The server is shutting down." : "The services could not be set up; the server's log says why.";
    throw new ServableError("not_ready", `${why} Try again soon.`, { retryAfterMs: pauseMs });
  }

  /** The engine with its definitions, started or not. @throws ServableError `load_failed`, `invalid_config` */
  async loaded(): Promise<Engine> {
    const engine = await this.#make();
    await engine.load();
    return engine;
  }

  status(): EngineStatus {
    const status = this.#engine?.status() ?? notYet;
    if (this.#failure === undefined || this.#isClosing) return status;
    return { ...status, reason: `${status.state}: the services could not be set up the last time; the server's log says why` };
  }

  /** Tells the observers of a request that no engine took. */
  refused(requestId: string, error: ServableError, totalMs: number): void {
    this.#engine?.refused(requestId, undefined, error, totalMs);
  }

  close(graceMs: number): Promise<boolean> {
    this.#closing ??= this.#make().then((engine) => engine.stop(graceMs));
    return this.#closing;
  }

  get #isClosing(): boolean {
    return this.#closing !== undefined;
  }

  #make(): Promise<Engine> {
    this.#made ??= this.#create();
    return this.#made;
  }

  async #create(): Promise<Engine> {
    const { services, observers } = this.#options;
    const { loggerOf, requestLog } = await import("../../telemetry/logs.ts");
    const log = await loggerOf(this.#options.log ?? (await quietLog()));
    this.#log = log;
    this.#engine = new Engine({ services, log, observers: [requestLog(log), ...observers] });
    return this.#engine;
  }

  async #start(): Promise<Engine> {
    const engine = await this.#make();
    try {
      await engine.start();
      this.#failure = undefined;
      return engine;
    } catch (thrown) {
      if (!this.#isClosing) {
        this.#log?.error({ err: thrown }, "the services could not be set up; the next request tries again");
        this.#failure = { thrown, at: performance.now() };
        this.#attempt = undefined;
        this.#made = undefined;
        await this.#make();
      }
      throw thrown;
    }
  }
}

/** Tells what goes wrong, and no more; imported only where no log was given. */
function quietLog(): Promise<EngineLogger> {
  defaultLog ??= import("../../telemetry/logs.ts").then(({ createLogger }) => createLogger({ level: "error" }));
  return defaultLog;
}
