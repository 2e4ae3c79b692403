import { ServableError } from "../errors.ts";
import { markIoThread, unmarkIoThread } from "../model/io-thread.ts";
import { CallContext } from "../service/call-context.ts";
import type { AnyServiceDefinition } from "../service/definition.ts";
import { newRequestId } from "../service/request-id.ts";
import { Execution } from "./execution.ts";
import { HostedService } from "./hosted-service.ts";
import type { ResolvedPolicy } from "./policy.ts";
import type { EngineLogger, Observer } from "./observer.ts";
import { Observers } from "./observers.ts";
import { keepRequestsYoung } from "./young-memory.ts";
import type { PlacementStatus } from "./placement/placement.ts";
import { requestLog } from "./request-log.ts";
import { entryOf, resolveSource, type ServiceSource } from "./service-source.ts";

/** What an {@link Engine} is made of. */
export interface EngineOptions {
  readonly services: readonly ServiceSource[];
  readonly log: EngineLogger;
  readonly observers?: readonly Observer[] | undefined;
}

/** The lifecycle, in order. */
export type EngineState = "unstarted" | "starting" | "ready" | "stopping" | "stopped";

/** How the engine and each of its services are. */
export interface EngineStatus {
  readonly state: EngineState;
  /** Whether requests are taken: ready, and every service has a place that is. */
  readonly ready: boolean;
  /** Ready, but with places missing. */
  readonly degraded: boolean;
  /** Why it is not ready, or degraded. */
  readonly reason: string | undefined;
  readonly services: Readonly<
    Record<
      string,
      PlacementStatus & {
        readonly inFlight: number;
        /** Runs that were given up and have not ended yet included. */
        readonly running: number;
        readonly queued: number;
        /** How long a new request would wait for its turn, as measured. */
        readonly expectedWaitMs: number;
      }
    >
  >;
}

/** What a front knows of a request before its body. */
export interface AdmitOptions {
  readonly requestId?: string | undefined;
  /** Read when a service asks for it. */
  readonly metadata?: (() => Readonly<Record<string, string>>) | undefined;
  /** Asks for a shorter deadline than the service's own. */
  readonly timeoutMs?: number | undefined;
}

/** A list's place: the list was taken in, so its items are, too, also while the engine stops. */
export interface ListPlace {
  /**
   * Takes an item in.
   *
   * @param alone - whether no other item of the list is in hand: there is always room for one
   * @returns undefined where the service has no place left for another one now
   * @throws ServableError `not_ready` when the grace time of a stop is over
   */
  admit(options: AdmitOptions, alone: boolean): Execution | undefined;
  /** Gives the list's own place back. */
  leave(): void;
}

/**
 * Stands between every runtime and every service: admission, deadlines, cancellation, placement, lifecycle and status. It
 * knows no wire.
 */
export class Engine {
  readonly #options: EngineOptions;
  readonly #observers: Observers;
  readonly #services = new Map<string, HostedService>();
  readonly #definitions = new Map<string, AnyServiceDefinition>();
  #loading: Promise<void> | undefined;
  readonly #aborter = new AbortController();
  #state: EngineState = "unstarted";
  #stopping: Promise<boolean> | undefined;
  #graceOver = false;
  #drained: (() => void) | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#observers = new Observers(options.observers ?? [], options.log);
  }

  /** The services' definitions, by name; empty before `load`. */
  get definitions(): ReadonlyMap<string, AnyServiceDefinition> {
    return this.#definitions;
  }

  /** A service's limits, all filled in. @throws ServableError `not_found` */
  policy(name: string): ResolvedPolicy {
    const hosted = this.#services.get(name);
    if (hosted === undefined) throw this.unknownService(name);
    return hosted.policy;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Whether no request will be taken any more. */
  get isEnding(): boolean {
    return this.#state === "stopping" || this.#state === "stopped";
  }

  /**
   * Loads every definition, without running any service: enough to know routes, schemas and limits.
   *
   * @throws ServableError `load_failed`, or `invalid_config` for two services of one name
   */
  load(): Promise<void> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  async #load(): Promise<void> {
    const { services } = this.#options;
    if (!Array.isArray(services)) throw new ServableError("invalid_config", "The services to run must be a list: services: [double].");
    for (const source of services as readonly ServiceSource[]) {
      const hosted = await this.#host(source);
      const { name } = hosted.definition;
      if (this.#services.has(name)) {
        throw new ServableError("invalid_config", `Two services are named '${name}'; names must differ, since each is a route.`);
      }
      this.#services.set(name, hosted);
      this.#definitions.set(name, hosted.definition);
    }
    if (this.#services.size === 0) throw new ServableError("invalid_config", "There is no service to run.");
  }

  /**
   * Constructs and sets up every service where it is placed; ready when all are.
   *
   * @throws ServableError `load_failed`, `invalid_config`, or `cancelled` where `stop` came first
   */
  async start(): Promise<void> {
    if (this.#stopping !== undefined) throw stoppedEarly();
    if (this.#state !== "unstarted") throw new ServableError("invalid_argument", "An engine is started once.");
    this.#state = "starting";
    markIoThread();
    keepRequestsYoung();
    try {
      await this.load();
      const results = await Promise.allSettled([...this.#services.values()].map((hosted) => hosted.start(this.#aborter.signal)));
      // `stop` may have come in between, and then whatever failed, failed because of it.
      if ((this.#state as EngineState) !== "starting") throw stoppedEarly();
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      this.#state = "ready";
    } catch (thrown) {
      await this.stop(0);
      throw thrown;
    }
  }

  /**
   * Takes a request in, before its body.
   *
   * @returns the execution, on which the caller calls `run`, `cancel` or `fail`
   * @throws ServableError `not_found`, `not_ready` or `overloaded`
   */
  admit(name: string, options: AdmitOptions = {}): Execution {
    return this.#execute(this.#enter(name, options.timeoutMs), options);
  }

  #execute(hosted: HostedService, options: AdmitOptions): Execution {
    const { deadlineMs } = hosted.policy;
    const timeoutMs = Math.min(options.timeoutMs ?? deadlineMs, deadlineMs);
    const requestId = options.requestId ?? newRequestId();
    const now = performance.now();
    const context = new CallContext({
      requestId,
      expiresAt: now + timeoutMs,
      metadata: options.metadata,
      log: () => requestLog(hosted.log.child({ requestId })),
    });
    return new Execution(hosted, context, timeoutMs, now);
  }

  /**
   * Takes a place without a request of its own: for a list, whose items are requests each.
   *
   * @throws ServableError `not_found`, `not_ready` or `overloaded`
   */
  takePlace(name: string): ListPlace {
    const hosted = this.#enter(name, Infinity, true);
    return {
      admit: (options, alone) => {
        if (this.#graceOver) throw shutDown(false);
        return hosted.gate.enter(alone) ? this.#execute(hosted, options) : undefined;
      },
      leave: () => {
        hosted.gate.leaveList();
        hosted.left();
      },
    };
  }

  #enter(name: string, timeoutMs = Infinity, isList = false): HostedService {
    const hosted = this.#services.get(name);
    if (hosted === undefined) throw this.unknownService(name);
    if (this.#state !== "ready") {
      const why = this.isEnding ? "The server is shutting down." : "The server is still starting.";
      throw new ServableError("not_ready", `${why} Try again soon.`, { retryAfterMs: 1_000 });
    }
    const { concurrency, queue, deadlineMs } = hosted.policy;
    this.#refuseTheLate(hosted, Math.min(timeoutMs, deadlineMs));
    if (isList ? hosted.gate.enterList() : hosted.gate.enter()) return hosted;
    throw new ServableError(
      "overloaded",
      `Service '${name}' is at its limit: ${concurrency} requests run and ${queue} wait. Try again soon.`,
      {
        retryAfterMs: 1_000,
      },
    );
  }

  /** A request whose time would be over before its turn is told so at once, instead of waiting for nothing and in others' way. */
  #refuseTheLate({ gate, service }: HostedService, timeoutMs: number): void {
    const waitMs = gate.expectedWaitMs;
    const lateMs = (waitMs + gate.answerMs) * spread - timeoutMs;
    if (waitMs === 0 || lateMs <= 0) return;
    const wait = `would wait about ${Math.ceil(waitMs)} ms for its turn and then take ${Math.ceil(gate.answerMs)} ms`;
    throw new ServableError("overloaded", `Service '${service}' is overloaded: a request ${wait}, and has only ${timeoutMs} ms.`, {
      retryAfterMs: Math.ceil(lateMs),
    });
  }

  /** The error for a service that does not exist; it lists those that do. */
  unknownService(name: string): ServableError {
    const services = [...this.#services.keys()];
    const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
    return new ServableError("not_found", `There is no service '${shown}'. There is: ${services.join(", ")}.`, { details: { services } });
  }

  /** Tells the observers of a request that was refused before an execution took it. */
  refused(requestId: string, service: string | undefined, error: ServableError, totalMs: number): void {
    this.#observers.requestFinished({
      service,
      requestId,
      outcome: error.code,
      error,
      stages: [],
      startedAt: clockOrigin + performance.now() - totalMs,
      totalMs,
      items: undefined,
      metadata: nothing,
    });
  }

  status(): EngineStatus {
    const services: Record<string, EngineStatus["services"][string]> = {};
    const missing: string[] = [];
    let everyServiceReady = true;
    for (const [name, hosted] of this.#services) {
      const status = hosted.placementStatus();
      const { inside, waiting, expectedWaitMs } = hosted.gate;
      services[name] = { ...status, inFlight: inside, running: hosted.running, queued: waiting, expectedWaitMs };
      if (status.ready === 0) everyServiceReady = false;
      if (status.ready < status.total) missing.push(`${name}: ${status.reason ?? "not ready"}`);
    }
    const ready = this.#state === "ready" && everyServiceReady;
    const reason = this.#state === "ready" ? (missing.length > 0 ? missing.join("; ") : undefined) : this.#state;
    return { state: this.#state, ready, degraded: ready && missing.length > 0, reason, services };
  }

  /** Stops intake; what is in flight goes on. */
  beginStop(): void {
    if (this.isEnding) return;
    this.#state = "stopping";
    this.#aborter.abort();
  }

  /**
   * Stops: intake first, then waits for what is in flight, then closes every service. Whatever still runs when the grace time
   * is over gets its signal and one more second.
   *
   * @returns whether everything in flight had ended by itself
   */
  stop(graceMs: number): Promise<boolean> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<boolean> {
    const wasStarted = this.#state !== "unstarted";
    this.beginStop();
    const inTime = await this.#drain(graceMs);
    if (!inTime) {
      this.#graceOver = true;
      const live = [...this.#services.values()].flatMap(({ deadlines }) => [...deadlines]);
      for (const execution of live) execution.fail(shutDown(execution.begun));
      await this.#drain(1_000);
    }
    await Promise.all([...this.#services.values()].map((hosted) => hosted.stop()));
    this.#state = "stopped";
    if (wasStarted) unmarkIoThread();
    return inTime;
  }

  #drain(timeoutMs: number): Promise<boolean> {
    const busy = (): boolean => [...this.#services.values()].some(({ gate }) => gate.inside > 0);
    if (!busy()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#drained = undefined;
        resolve(false);
      }, timeoutMs);
      this.#drained = () => {
        if (busy()) return;
        clearTimeout(timer);
        this.#drained = undefined;
        resolve(true);
      };
    });
  }

  async #host(source: ServiceSource): Promise<HostedService> {
    const entry = entryOf(source);
    const { definition, loader } = await resolveSource(entry.service);
    return new HostedService({
      definition,
      spec: loader?.spec,
      policy: entry.policy,
      log: this.#options.log.child({ service: definition.name }),
      finished: (execution, error) => {
        this.#observers.requestFinished({
          service: definition.name,
          requestId: execution.requestId,
          outcome: error === undefined ? "ok" : error.code,
          error,
          stages: execution.stages,
          startedAt: clockOrigin + execution.startedAt,
          totalMs: performance.now() - execution.startedAt,
          items: execution.items,
          metadata: () => execution.context.metadata,
        });
      },
      left: () => {
        this.#drained?.();
      },
      batchRun: (event) => {
        this.#observers.batchRun(event);
      },
      workerChanged: (event) => {
        this.#observers.workerChanged(event);
      },
    });
  }
}

const clockOrigin = performance.timeOrigin;

const nothing = (): Readonly<Record<string, string>> => ({});

/** What is expected is a mean: of requests that are just expected to make it, half would not, and be computed for nobody. */
const spread = 1.25;

/** @param begun - whether the service works on it: then a client must not send it again by itself, as it does after `not_ready` */
function shutDown(begun: boolean): ServableError {
  const text = "The server shut down before the request was done.";
  return begun ? new ServableError("unavailable", text) : new ServableError("not_ready", text, { retryAfterMs: 1_000 });
}

function stoppedEarly(): ServableError {
  return new ServableError("cancelled", "It was stopped before it was ready.");
}
