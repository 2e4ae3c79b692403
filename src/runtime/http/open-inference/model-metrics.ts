import { cpus, freemem, totalmem } from "node:os";
import { Registry } from "prom-client";
import { refuseUnknownKeys } from "../../../known-keys.ts";
import type { ModelStatistics, StatisticDuration } from "../../../protocol/model-info.ts";
import { register, type Sums } from "../../../telemetry/tallies.ts";

/** Why a request failed, by Triton's names. */
export type FailureReason = "REJECTED" | "CANCELED" | "BACKEND" | "OTHER";

/** All of them are there from the start, as in Triton. */
const failureReasons: readonly FailureReason[] = ["REJECTED", "CANCELED", "BACKEND", "OTHER"];

/** What metrics tell of one version of a model. */
export interface ModelMetricsReport {
  readonly name: string;
  readonly version: string;
  readonly statistics: ModelStatistics;
  readonly failures: Readonly<Record<FailureReason, number>>;
  /** Requests that wait. */
  readonly pending: number;
  readonly loadSeconds: number;
  /** Whether its responses are kept: it has the metrics of the cache from the start then. @default whether it has asked a cache */
  readonly cached?: boolean | undefined;
  /** Labels of the model's own: `metric_tags`. */
  readonly tags: Readonly<Record<string, string>>;
}

/** Where metrics come from; read each time they are asked for. */
export interface ModelMetricsSource {
  /** One for each version that is loaded. */
  reports(): readonly ModelMetricsReport[];
}

type Labels = Readonly<Record<string, string>>;
type Values = Sums["values"];

/** One version of a model, and its labels. */
interface Row extends ModelMetricsReport {
  readonly labels: Labels;
}

const microseconds = ({ ns }: StatisticDuration): number => Math.round(ns / 1_000);

/** Counters by version of a model: name, help, and how one is read. */
const counters: readonly (readonly [string, string, (statistics: ModelStatistics) => number])[] = [
  ["nv_inference_request_success", "Number of successful inference requests, all batch sizes", (of) => of.inference_stats.success.count],
  ["nv_inference_count", "Number of inferences performed (does not include cached requests)", (of) => of.inference_count],
  ["nv_inference_exec_count", "Number of model executions performed (does not include cached requests)", (of) => of.execution_count],
  [
    "nv_inference_request_duration_us",
    "Cumulative inference request duration in microseconds (includes cached requests)",
    (of) => microseconds(of.inference_stats.success),
  ],
  [
    "nv_inference_queue_duration_us",
    "Cumulative inference queuing duration in microseconds (includes cached requests)",
    (of) => microseconds(of.inference_stats.queue),
  ],
  [
    "nv_inference_compute_input_duration_us",
    "Cumulative compute input duration in microseconds (does not include cached requests)",
    (of) => microseconds(of.inference_stats.compute_input),
  ],
  [
    "nv_inference_compute_infer_duration_us",
    "Cumulative compute inference duration in microseconds (does not include cached requests)",
    (of) => microseconds(of.inference_stats.compute_infer),
  ],
  [
    "nv_inference_compute_output_duration_us",
    "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    (of) => microseconds(of.inference_stats.compute_output),
  ],
];

/** Those of models with a response cache. */
const cacheCounters: readonly (readonly [string, string, (statistics: ModelStatistics) => number])[] = [
  ["nv_cache_num_hits_per_model", "Number of cache hits per model", (of) => of.inference_stats.cache_hit.count],
  ["nv_cache_num_misses_per_model", "Number of cache misses per model", (of) => of.inference_stats.cache_miss.count],
  [
    "nv_cache_hit_duration_per_model",
    "Total cache hit duration per model, in microseconds",
    (of) => microseconds(of.inference_stats.cache_hit),
  ],
  [
    "nv_cache_miss_duration_per_model",
    "Total cache miss (insert+lookup) duration per model, in microseconds",
    (of) => microseconds(of.inference_stats.cache_miss),
  ],
];

/** Metrics of a model server under the names that Triton gives them, read from its statistics when they are asked for. */
export function createModelMetrics(source: ModelMetricsSource, options: { readonly cpu?: boolean | undefined } = {}): Registry {
  refuseUnknownKeys(options, { cpu: true }, "createModelMetrics");
  const registry = new Registry();
  const add = (name: string, help: string, type: "counter" | "gauge", values: () => Values): void => {
    register(registry, name, () => ({ name, help, type, aggregator: "sum", values: values() }));
  };
  const each = (read: (row: Row) => Values): Values => rowsOf(source).flatMap(read);
  for (const [name, help, read] of counters) {
    add(name, help, "counter", () => each(({ statistics, labels }) => [{ value: read(statistics), labels }]));
  }
  add("nv_inference_request_failure", "Number of failed inference requests, all batch sizes", "counter", () =>
    each(({ failures, labels }) => failureReasons.map((reason) => ({ value: failures[reason], labels: { ...labels, reason } }))),
  );
  for (const [name, help, read] of cacheCounters) {
    add(name, help, "counter", () =>
      each(({ statistics, cached, labels }) => ((cached ?? usesCache(statistics)) ? [{ value: read(statistics), labels }] : [])),
    );
  }
  add("nv_inference_pending_request_count", "Instantaneous number of pending requests awaiting execution per-model.", "gauge", () =>
    each(({ pending, labels }) => [{ value: pending, labels }]),
  );
  add("nv_model_load_duration_secs", "Model load time in seconds", "gauge", () =>
    each(({ loadSeconds, labels }) => [{ value: loadSeconds, labels }]),
  );
  // There is no such pool here; who reads Triton's metrics expects to find its size.
  for (const what of ["total", "used"]) {
    add(`nv_pinned_memory_pool_${what}_bytes`, `Pinned memory pool ${what} memory size, in bytes`, "gauge", () => [
      { value: 0, labels: {} },
    ]);
  }
  if (options.cpu ?? true) addMachine(add);
  return registry;
}

function rowsOf(source: ModelMetricsSource): readonly Row[] {
  return source.reports().map((report) => {
    const tags = Object.entries(report.tags).map(([tag, value]) => [`_${tag}`, value] as const);
    return { ...report, labels: { model: report.name, version: report.version, ...Object.fromEntries(tags) } };
  });
}

/** Each request of a model with a cache is a hit or a miss. */
function usesCache({ inference_stats: { cache_hit: hit, cache_miss: miss } }: ModelStatistics): boolean {
  return hit.count + miss.count > 0;
}

function addMachine(add: (name: string, help: string, type: "gauge", values: () => Values) => void): void {
  const single = (value: number): Values => [{ value, labels: {} }];
  let before = cpuTimes();
  add("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", "gauge", () => {
    const now = cpuTimes();
    const total = now.total - before.total;
    const rate = total === 0 ? 0 : 1 - (now.idle - before.idle) / total;
    before = now;
    return single(rate);
  });
  add("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", "gauge", () => single(totalmem()));
  add("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", "gauge", () => single(totalmem() - freemem()));
}

function cpuTimes(): { readonly idle: number; readonly total: number } {
  let idle = 0;
  let total = 0;
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}
