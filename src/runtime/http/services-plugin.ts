import { setImmediate as endOfTurn } from "node:timers/promises";
import type { FastifyPluginAsync, RegisterOptions } from "fastify";
import { Engine } from "../../engine/engine.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import type { ServiceSource } from "../../engine/service-source.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { loggerOf, requestLog } from "../../telemetry/logs.ts";
import { Metrics } from "../../telemetry/metrics.ts";
import { docsFront } from "./docs-front.ts";
import { healthFront } from "./health-front.ts";
import { metricsFront } from "./metrics-front.ts";
import { isLate } from "./request-listeners.ts";
import { serviceFront } from "./service-front.ts";

/** How services are mounted in an app of your own. */
export interface ServicesPluginOptions {
  readonly services: readonly ServiceSource[];
  /** Adds the health routes. @default false */
  readonly health?: boolean | undefined;
  /** Adds `openapi.json`. @default false */
  readonly openapi?: boolean | undefined;
  /** Adds `metrics`, for Prometheus. @default false */
  readonly metrics?: boolean | undefined;
  /** Adds the page, at the prefix itself, and `openapi.json`, which the page reads. @default false */
  readonly page?: boolean | undefined;
  /** Time for what is in flight when the app closes. @default 30000 */
  readonly graceMs?: number | undefined;
  /** @default pino, to standard output */
  readonly log?: EngineLogger | undefined;
  readonly observers?: readonly Observer[] | undefined;
}

const keys = {
  services: "needed",
  health: true,
  openapi: true,
  metrics: true,
  page: true,
  graceMs: true,
  log: true,
  observers: true,
  // Fastify's own, which it hands on.
  prefix: true,
  logLevel: true,
  logSerializers: true,
} satisfies KeysOf<ServicesPluginOptions & RegisterOptions>;

/**
 * Mounts services in your own Fastify app: `app.register(servicesPlugin, { services: [double], prefix: "/ml" })`. They start
 * with the app and stop with it; your hooks, error handlers and other routes stay as they are. Who may call, pages of other origins
 * included, is your app's to decide, and so is how long a client may take nothing of an answer: without a `connectionTimeout`, for ever.
 */
export const servicesPlugin: FastifyPluginAsync<ServicesPluginOptions> = async (app, options) => {
  refuseUnknownKeys(options, keys, "servicesPlugin");
  const log = await loggerOf(options.log);
  const { health = false, openapi = false, page = false } = options;
  const metrics = options.metrics === true ? new Metrics() : undefined;
  const observers = [requestLog(log), ...(metrics === undefined ? [] : [metrics]), ...(options.observers ?? [])];
  const engine = new Engine({ services: options.services, log, observers });
  await engine.load();
  // As for a server of ours, but only for our own routes.
  app.addHook("onRequest", (request, reply, done) => {
    if (isLate(request.raw)) reply.hijack();
    else done();
  });
  serviceFront(app, { engine });
  if (health) healthFront(app, { engine });
  if (metrics !== undefined) {
    metrics.watch(engine);
    metricsFront(app, { engine, metrics });
  }
  if (openapi || page) docsFront(app, { engine, authenticated: false, page, health, metrics: metrics !== undefined });
  app.addHook("onReady", () => engine.start());
  app.addHook("preClose", async () => {
    await engine.stop(options.graceMs ?? 30_000);
    // The last answers leave when this turn ends, and the app may cut every connection next.
    await endOfTurn();
  });
};
