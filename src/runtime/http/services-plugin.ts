import type { FastifyPluginAsync } from "fastify";
import { Engine, type ServiceSource } from "../../engine/engine.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import { createLogger, requestLog } from "../../telemetry/logs.ts";
import { docsFront } from "./docs-front.ts";
import { healthFront } from "./health-front.ts";
import { serviceFront } from "./service-front.ts";

/** How services are mounted in an app of your own. */
export interface ServicesPluginOptions {
  readonly services: readonly ServiceSource[];
  /** Adds the health routes. @default false */
  readonly health?: boolean | undefined;
  /** Adds `openapi.json`. @default false */
  readonly openapi?: boolean | undefined;
  /** Time for what is in flight when the app closes. @default 30000 */
  readonly graceMs?: number | undefined;
  /** @default pino, to standard output */
  readonly log?: EngineLogger | undefined;
  readonly observers?: readonly Observer[] | undefined;
}

/**
 * Mounts services in your own Fastify app: `app.register(servicesPlugin, { services: [double], prefix: "/ml" })`. They start
 * with the app and stop with it; your hooks, error handlers and other routes stay as they are.
 */
export const servicesPlugin: FastifyPluginAsync<ServicesPluginOptions> = async (app, options) => {
  const log = options.log ?? (await createLogger());
  const engine = new Engine({ services: options.services, log, observers: [requestLog(log), ...(options.observers ?? [])] });
  await engine.load();
  serviceFront(app, { engine });
  if (options.health === true) healthFront(app, { engine });
  if (options.openapi === true) docsFront(app, { engine, authenticated: false, page: false });
  app.addHook("onReady", () => engine.start());
  app.addHook("preClose", async () => {
    await engine.stop(options.graceMs ?? 30_000);
  });
};
