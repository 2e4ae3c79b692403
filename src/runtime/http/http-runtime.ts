import type { FastifyInstance, FastifyRequest } from "fastify";
import { ServableError } from "../../errors.ts";
import { Engine, type EngineStatus } from "../../engine/engine.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { loggerOf, requestLog } from "../../telemetry/logs.ts";
import { Metrics } from "../../telemetry/metrics.ts";
import { readTls } from "../address.ts";
import type { Runtime } from "../runtime.ts";
import { answerErrors, createApp, refuseUnknownPaths } from "./app.ts";
import { elapsedMs } from "./arrival.ts";
import { reachingOut } from "./auth-plugin.ts";
import { answerDirectly } from "./direct-calls.ts";
import { refuseHostless } from "./hostless.ts";
import { leaveLateRequests } from "./request-listeners.ts";
import { Connections } from "./connections.ts";
import { docsFront, pagePaths } from "./docs-front.ts";
import { problemAnswer } from "./exchange.ts";
import { healthFront } from "./health-front.ts";
import { closeListener, listen } from "./listener.ts";
import { metricsFront } from "./metrics-front.ts";
import { originGuard } from "./origins.ts";
import { resolveHttpOptions, type HttpRuntimeOptions, type ResolvedHttpOptions } from "./options.ts";
import { sendFrom, serviceFront } from "./service-front.ts";
import { TokenFile } from "./tokens.ts";

/** Open to everybody: an orchestrator has no token. */
const healthPaths: ReadonlySet<string> = new Set(["/livez", "/startupz", "/readyz"]);

/** Answers that are written get this time at least to be sent. */
const flushMs = 1_000;

/**
 * Serves services over HTTP: a listener and its fronts (services, health, metrics, documentation), each a Fastify plugin.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { HttpRuntime } from "servable/http";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const runtime = new HttpRuntime({ services: [hello], port: 0 });
 * await runtime.start();
 * await runtime.stop();
 * ```
 */
export class HttpRuntime implements Runtime {
  readonly stopped: Promise<void>;
  readonly #options: HttpRuntimeOptions;
  readonly #resolved: ResolvedHttpOptions;
  #engine: Engine | undefined;
  #app: FastifyInstance | undefined;
  #tokens: TokenFile | undefined;
  readonly #connections = new Connections();
  #started = false;
  #url: string | undefined;
  #stopping: Promise<void> | undefined;
  #markStopped: () => void = () => undefined;

  /** @throws ServableError `invalid_config` */
  constructor(options: HttpRuntimeOptions) {
    this.#options = options;
    this.#resolved = resolveHttpOptions(options);
    this.stopped = new Promise((resolve) => {
      this.#markStopped = resolve;
    });
  }

  /** Where it listens, such as `http://127.0.0.1:3000`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    if (this.#url === undefined) throw new ServableError("not_ready", "The runtime does not listen yet: await start() first.");
    return this.#url;
  }

  /** How the engine and its services are; undefined before `start`. */
  get status(): EngineStatus | undefined {
    return this.#engine?.status();
  }

  /**
   * Listens, then sets every service up; resolves when all are ready. Health routes answer from the moment it listens.
   *
   * @throws ServableError `load_failed`, `invalid_config`, `address_in_use`
   */
  async start(): Promise<void> {
    this.#goOnUnlessStopped();
    if (this.#started) throw new ServableError("invalid_argument", "A runtime is started once.");
    this.#started = true;
    const log = await loggerOf(this.#options.log);
    this.#goOnUnlessStopped();
    const metrics = new Metrics();
    const engine = new Engine({
      services: this.#options.services,
      log,
      observers: [metrics, requestLog(log), ...(this.#options.observers ?? [])],
    });
    this.#engine = engine;
    try {
      await engine.load();
      metrics.watch(engine);
      this.#app = await this.#build(engine, metrics, log);
      this.#goOnUnlessStopped();
      this.#url = await listen(this.#app, this.#resolved);
      await engine.start();
    } catch (thrown) {
      const stopped = this.#isStopping;
      await this.stop();
      await this.#close();
      throw stopped ? stoppedEarly() : thrown;
    }
  }

  get #isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** `stop` may come between any two steps of `start`. */
  #goOnUnlessStopped(): void {
    if (this.#isStopping) throw stoppedEarly();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { graceMs } = this.#resolved;
    const since = performance.now();
    await this.#connections.arrived();
    this.#engine?.beginStop();
    if (this.#app !== undefined) closeListener(this.#app.server);
    await this.#engine?.stop(graceMs);
    const leftMs = (): number => Math.max(flushMs, graceMs - (performance.now() - since));
    await this.#connections.flushed(leftMs());
    if (this.#connections.areFlushed) await this.#connections.hangUp(leftMs());
    await this.#close();
    this.#markStopped();
  }

  async #close(): Promise<void> {
    this.#connections.cut();
    await this.#app?.close();
    this.#tokens?.close();
  }

  async #build(engine: Engine, metrics: Metrics, log: EngineLogger): Promise<FastifyInstance> {
    const { auth, tls, corsOrigins, page } = this.#resolved;
    const origins = auth === undefined ? corsOrigins : undefined;
    const app = createApp(engine, tls && readTls(tls), log);
    if (corsOrigins.length > 0) {
      const { default: cors } = await import("@fastify/cors");
      await app.register(cors, {
        origin: corsOrigins.includes("*") ? "*" : [...corsOrigins],
        methods: ["GET", "POST"],
        exposedHeaders: ["x-request-id", "retry-after"],
      });
    }
    if (auth !== undefined && "tokenFile" in auth) this.#guard(app, engine, (this.#tokens = new TokenFile(auth.tokenFile, log)));
    // Before the services: only what comes after a hook gets it.
    await this.#options.configure?.(app);
    await app.register((scope, _options, done) => {
      answerErrors(scope, engine);
      healthFront(scope, { engine });
      done();
    });
    await app.register(async (scope) => {
      answerErrors(scope, engine);
      if (auth !== undefined && "plugin" in auth) await scope.register(reachingOut(auth.plugin));
      serviceFront(scope, { engine, origins });
      metricsFront(scope, { engine, metrics });
      docsFront(scope, { engine, authenticated: auth !== undefined, page });
      refuseUnknownPaths(scope, engine);
    });
    const tokens = this.#tokens;
    // Hooks that others have added, CORS among them, are Fastify's to run.
    const isHooked = this.#options.configure !== undefined || corsOrigins.length > 0 || (auth !== undefined && "plugin" in auth);
    if (!isHooked) {
      const tokenGuard = tokens && ((authorization?: string) => (tokens.accepts(authorization) ? undefined : tokenMissing()));
      answerDirectly(app.server, { engine, connections: this.#connections, originGuard: originGuard(origins), tokenGuard });
    }
    refuseHostless(app.server, engine);
    leaveLateRequests(app.server);
    this.#connections.watch(app.server);
    return app;
  }

  #guard(app: FastifyInstance, engine: Engine, tokens: TokenFile): void {
    app.addHook("onRequest", (request, reply, done) => {
      if (isPublic(request) || tokens.accepts(request.headers.authorization)) {
        done();
        return;
      }
      const error = tokenMissing();
      engine.refused(request.id, undefined, error, elapsedMs(request, reply));
      sendFrom(engine, reply, problemAnswer(error, request.id));
    });
  }
}

function tokenMissing(): ServableError {
  return new ServableError("unauthenticated", "This server asks for a token: send the header `authorization: Bearer <token>`.");
}

function stoppedEarly(): ServableError {
  return new ServableError("cancelled", "The runtime was stopped before it was ready.");
}

function isPublic(request: FastifyRequest): boolean {
  const url = request.routeOptions.url;
  return url !== undefined && (healthPaths.has(url) || pagePaths.has(url));
}
