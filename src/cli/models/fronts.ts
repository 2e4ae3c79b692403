import type { EngineLogger } from "../../engine/observer.ts";
import { ModelGrpcServer } from "../../runtime/grpc/model-grpc-server.ts";
import type { MetricsServer } from "../../runtime/http/open-inference/metrics-server.ts";
import { ModelHttpServer } from "../../runtime/http/open-inference/model-http-server.ts";
import type { ModelRepositoryServer } from "../../server/model-repository-server.ts";
import type { ModelsPlan } from "./plan.ts";

/** One wire of a model server. */
export interface ModelFront {
  /** What stands in the log when it listens, as tritonserver has it. */
  readonly startLine: string;
  /** @returns where it listens */
  start(): Promise<string>;
  /** Turns new work away, and resolves when what has come is answered: before the models stop. */
  drain(graceMs: number): Promise<void>;
  /** After the models have stopped. */
  stop(graceMs: number): Promise<void>;
}

/** The fronts of a plan. Nothing listens yet, but an address that would be refused is refused. @throws ServableError `invalid_config` */
export async function createFronts(plan: ModelsPlan, server: ModelRepositoryServer, log: EngineLogger): Promise<readonly ModelFront[]> {
  const fronts: ModelFront[] = [];
  if (plan.grpc !== undefined) fronts.push(grpcFront(new ModelGrpcServer({ ...plan.grpc, plane: server, log })));
  if (plan.http !== undefined) fronts.push(httpFront(new ModelHttpServer({ ...plan.http, plane: server, log })));
  if (plan.metrics !== undefined) {
    const { cpu, ...options } = plan.metrics;
    // What is not served is not loaded.
    const [{ MetricsServer }, { createModelMetrics }] = await Promise.all([
      import("../../runtime/http/open-inference/metrics-server.ts"),
      import("../../runtime/http/open-inference/model-metrics.ts"),
    ]);
    fronts.push(metricsFront(new MetricsServer({ ...options, registry: createModelMetrics(server, { cpu }), log })));
  }
  return fronts;
}

function grpcFront(server: ModelGrpcServer): ModelFront {
  return {
    startLine: "Started GRPCInferenceService at",
    start: () => server.start().then(() => server.url),
    drain: (graceMs) => server.drain(graceMs),
    stop: (graceMs) => server.stop(graceMs),
  };
}

function httpFront(server: ModelHttpServer): ModelFront {
  return {
    startLine: "Started HTTPService at",
    start: () => server.start().then(() => server.url),
    drain: (graceMs) => server.drain(graceMs),
    stop: (graceMs) => server.stop(graceMs),
  };
}

/** Metrics are there until the last request has ended. */
function metricsFront(server: MetricsServer): ModelFront {
  return {
    startLine: "Started Metrics Service at",
    start: () => server.start().then(() => server.url),
    drain: () => Promise.resolve(),
    stop: (graceMs) => server.stop(graceMs),
  };
}
