export { HttpRuntime } from "./runtime/http/http-runtime.ts";
export type { HttpRuntimeOptions } from "./runtime/http/options.ts";
export { servicesPlugin, type ServicesPluginOptions } from "./runtime/http/services-plugin.ts";
export { fetchHandler, type FetchHandler, type FetchHandlerOptions } from "./runtime/http/fetch-handler.ts";
export type { Problem } from "./runtime/http/problem.ts";
export { httpStatus } from "./runtime/http/status.ts";
export { ModelHttpServer } from "./runtime/http/open-inference/model-http-server.ts";
export type { ModelHttpServerOptions } from "./runtime/http/open-inference/options.ts";
export type { RestrictedApi } from "./runtime/http/open-inference/restrictions.ts";
export type { ApiName } from "./runtime/http/open-inference/routes.ts";
export { MetricsServer, type MetricsServerOptions } from "./runtime/http/open-inference/metrics-server.ts";
export type { GuardedListenerOptions } from "./runtime/http/open-inference/guarded-listener.ts";
export {
  createModelMetrics,
  type FailureReason,
  type ModelMetricsReport,
  type ModelMetricsSource,
} from "./runtime/http/open-inference/model-metrics.ts";
export type { TlsFiles } from "./runtime/address.ts";
export type { Runtime } from "./runtime/runtime.ts";
export type { EngineStatus, EngineState } from "./engine/engine.ts";
export type { ServiceEntry, ServiceSource } from "./engine/service-source.ts";
export type { BatchRunEvent, EngineLogger, Observer, RequestEvent, WorkerEvent } from "./engine/observer.ts";
export type { BatchEvent, LeaveReason } from "./engine/batching/dynamic-batcher.ts";
export type { PlacementStatus } from "./engine/placement/placement.ts";
export type { StageTime } from "./service/call-context.ts";
export { createLogger, type LogOptions } from "./telemetry/logs.ts";
export { requestTraces, type TraceOptions } from "./telemetry/traces.ts";
