import { ServableError } from "../errors.ts";
import { isThenable } from "./chain.ts";
import { newRequestId } from "./request-id.ts";
import type { Logger, ServiceContext } from "./service.ts";

/** How long one part of a request took. */
export interface StageTime {
  readonly stage: string;
  /** When it began, in milliseconds since the epoch, to the microsecond; on whichever thread or process of this machine. */
  readonly startedAt: number;
  readonly ms: number;
}

const clockOrigin = performance.timeOrigin;

/** What a context is made of. */
export interface CallContextInit {
  readonly requestId?: string | undefined;
  /** Milliseconds since the epoch. @default Infinity */
  readonly deadline?: number | undefined;
  /** The deadline on the clock of `performance.now()`, where it is known as that. */
  readonly expiresAt?: number | undefined;
  /** Read at its first use. */
  readonly metadata?: (() => Readonly<Record<string, string>>) | undefined;
  /** Makes the logger at its first use: most calls never log. */
  readonly log?: (() => Logger) | undefined;
}

type AbortWatcher = (reason: ServableError) => void;

const nothing = (): void => undefined;
/** Writes nowhere: the logger of a bare call. */
const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const noMetadata: Readonly<Record<string, string>> = Object.freeze({});

/**
 * The context of one call. Signal and logger are made when first asked for: most calls use neither, and at tens of thousands
 * of requests a second an AbortController each is a measurable part of the whole.
 */
export class CallContext implements ServiceContext {
  readonly requestId: string;
  /** The times taken so far, in order. */
  readonly stages: StageTime[] = [];
  /** The first one has a place of its own: most calls have no other. */
  #watcher: AbortWatcher | undefined;
  #watchers: AbortWatcher[] | undefined;
  readonly #readMetadata: (() => Readonly<Record<string, string>>) | undefined;
  #metadata: Readonly<Record<string, string>> | undefined;
  readonly #makeLog: (() => Logger) | undefined;
  #log: Logger | undefined;
  #controller: AbortController | undefined;
  #given: number | undefined;
  #deadline: number | undefined;
  #expiresAt: number;
  #abortReason: ServableError | undefined;
  #openStage: string | undefined;
  #openSince = 0;
  #handedOn: number | undefined;

  constructor(init: CallContextInit = {}) {
    this.requestId = init.requestId ?? newRequestId();
    this.#given = this.#deadline = init.deadline;
    this.#expiresAt = init.expiresAt ?? Infinity;
    this.#readMetadata = init.metadata;
    this.#makeLog = init.log;
  }

  /** The deadline on the clock of `performance.now()`. */
  get expiresAt(): number {
    return this.#given === undefined ? this.#expiresAt : performance.now() + this.#given - Date.now();
  }

  /** Told in the time of the calendar, for code on other threads and machines; worked out when it is asked for. */
  get deadline(): number {
    this.#deadline ??= this.#expiresAt === Infinity ? Infinity : Math.ceil(Date.now() + this.#expiresAt - performance.now());
    return this.#deadline;
  }

  /** A stream's deadline: for its first item, then for each next one. @param expiresAt - on the clock of `performance.now()` */
  renewDeadline(expiresAt: number): void {
    this.#given = this.#deadline = undefined;
    this.#expiresAt = expiresAt;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get metadata(): Readonly<Record<string, string>> {
    this.#metadata ??= this.#readMetadata?.() ?? noMetadata;
    return this.#metadata;
  }

  get log(): Logger {
    this.#log ??= this.#makeLog?.() ?? silentLogger;
    return this.#log;
  }

  /** Why the call was aborted; undefined while it was not. */
  get abortReason(): ServableError | undefined {
    return this.#abortReason;
  }

  /** @throws ServableError the reason, if the call was aborted */
  throwIfAborted(): void {
    if (this.#abortReason !== undefined) throw this.#abortReason;
  }

  /** Calls back once when the call is aborted, before the signal fires: how placements pass the abort on, with no signal made for it. */
  watchAbort(callback: AbortWatcher): void {
    if (this.#watcher === undefined && this.#watchers === undefined) this.#watcher = callback;
    else (this.#watchers ??= []).push(callback);
  }

  unwatchAbort(callback: AbortWatcher): void {
    if (this.#watcher === callback) {
      this.#watcher = undefined;
      return;
    }
    const index = this.#watchers?.indexOf(callback) ?? -1;
    if (index !== -1) this.#watchers?.splice(index, 1);
  }

  /** Aborts the call; the first reason stays. */
  abort(reason: ServableError): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    const first = this.#watcher;
    const watchers = this.#watchers;
    this.#watcher = this.#watchers = undefined;
    first?.(reason);
    if (watchers !== undefined) for (const callback of watchers) callback(reason);
    this.#controller?.abort(reason);
  }

  /**
   * Notes that a stage begins.
   *
   * @param since - when, where that is known: at the end of the stage before
   * @returns when, for `record` (`performance.now()`)
   */
  begin(stage: string, since: number = performance.now()): number {
    this.#openStage = stage;
    this.#openSince = since;
    return since;
  }

  /** When the engine handed the call on; told once, to the first who asks: what a service calls itself begins later. */
  takeHandedOn(): number | undefined {
    const since = this.#handedOn;
    this.#handedOn = undefined;
    return since;
  }

  /** Notes that the call is handed to the service now. */
  handOn(now: number): void {
    this.#handedOn = now;
    this.begin("call", now);
  }

  /**
   * Notes the time of a stage that began at `since`.
   *
   * @param now - when it ended, where that is known
   * @returns when it ended
   */
  record(stage: string, since: number, now: number = performance.now()): number {
    if (stage === this.#openStage) this.#openStage = undefined;
    this.stages.push({ stage, startedAt: clockOrigin + since, ms: now - since });
    return now;
  }

  /** Notes the time of a stage that has not ended: where a call was cut off. */
  recordOpen(): void {
    if (this.#openStage !== undefined) this.record(this.#openStage, this.#openSince);
  }

  /** A getter, so that a service can take it out of its context like everything else there. */
  get stage(): ServiceContext["stage"] {
    return (name, work) => this.#time(name, work);
  }

  #time<T>(name: string, work: () => T): T {
    // It becomes a label of metrics, and crosses from a worker.
    if (typeof name !== "string") throw new TypeError(`context.stage takes a name and a function; its name is of the type ${typeof name}.`);
    const since = performance.now();
    let result: T;
    try {
      result = work();
    } catch (thrown) {
      this.record(name, since);
      throw thrown;
    }
    if (isThenable(result)) {
      const done = (): void => {
        this.record(name, since);
      };
      result.then(done, done);
    } else {
      this.record(name, since);
    }
    return result;
  }
}

/** Makes a full context of what a caller has; a complete one is used as it is. */
export function toCallContext(context: Partial<ServiceContext> = {}): CallContext {
  if (context instanceof CallContext) return context;
  const { requestId, deadline, metadata, log, signal } = context;
  const made = new CallContext({ requestId, deadline, metadata: metadata && (() => metadata), log: log && (() => log) });
  if (signal !== undefined) {
    const abort = (): void => {
      made.abort(abortError(signal.reason));
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  }
  return made;
}

/** What an abort means as an error: its reason where that is one of ours, else `cancelled`. */
export function abortError(reason: unknown): ServableError {
  return ServableError.isInstance(reason) ? reason : new ServableError("cancelled", "The caller went away.", { cause: reason });
}

/** The context of the call itself, where what a service got is one, with a state or without. */
export function callContextOf(context: ServiceContext): CallContext | undefined {
  if (context instanceof CallContext) return context;
  return context instanceof StateContext ? callContextOf(context.base) : undefined;
}

/** A context with the state that `setup` gave. */
export class StateContext<S> implements ServiceContext {
  readonly state: S;
  /** What it stands on. */
  readonly base: ServiceContext;

  constructor(base: ServiceContext, state: S) {
    this.base = base;
    this.state = state;
  }

  get signal(): AbortSignal {
    return this.base.signal;
  }
  get deadline(): number {
    return this.base.deadline;
  }
  get requestId(): string {
    return this.base.requestId;
  }
  get log(): Logger {
    return this.base.log;
  }
  get metadata(): Readonly<Record<string, string>> {
    return this.base.metadata;
  }
  get stage(): ServiceContext["stage"] {
    return this.base.stage;
  }
}
