import type { FastifyInstance } from "fastify";
import type { Metrics } from "../../telemetry/metrics.ts";
import { replying, route, type FrontOptions } from "./service-front.ts";

/** What the metrics front gets. */
export interface MetricsFrontOptions extends FrontOptions {
  readonly metrics: Metrics;
}

/** `/metrics`, as Prometheus reads it. */
export function metricsFront(app: FastifyInstance, { engine, metrics }: MetricsFrontOptions): void {
  route(app, engine, {
    method: "GET",
    url: "/metrics",
    answer: replying(async () => ({
      status: 200,
      headers: { "content-type": metrics.registry.contentType },
      body: await metrics.registry.metrics(),
    })),
  });
}
