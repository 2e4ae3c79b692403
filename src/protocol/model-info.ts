/** What a server says of itself. */
export interface ServerMetadata {
  readonly name: string;
  readonly version: string;
  readonly extensions: readonly string[];
}

/** What a tensor of a model looks like on the wire: the batch's axis is a leading -1. */
export interface TensorMetadata {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** What a model says of itself. */
export interface ModelMetadata {
  readonly name: string;
  /** Those that are ready, or the one that was asked for. */
  readonly versions: readonly string[];
  /** The backend's name where the configuration names no platform. */
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
}

/** How often, and for how long in all. */
export interface StatisticDuration {
  readonly count: number;
  readonly ns: number;
}

/** Durations of whole requests. Clients read all eight members. */
export interface InferStatistics {
  readonly success: StatisticDuration;
  readonly fail: StatisticDuration;
  readonly queue: StatisticDuration;
  readonly compute_input: StatisticDuration;
  readonly compute_infer: StatisticDuration;
  readonly compute_output: StatisticDuration;
  readonly cache_hit: StatisticDuration;
  readonly cache_miss: StatisticDuration;
}

/** Durations of the runs of one batch size. */
export interface InferBatchStatistics {
  readonly batch_size: number;
  readonly compute_input: StatisticDuration;
  readonly compute_infer: StatisticDuration;
  readonly compute_output: StatisticDuration;
}

/** Durations of the n-th responses of streams. */
export interface InferResponseStatistics {
  readonly compute_infer: StatisticDuration;
  readonly compute_output: StatisticDuration;
  readonly success: StatisticDuration;
  readonly fail: StatisticDuration;
  readonly empty_response: StatisticDuration;
  readonly cancel: StatisticDuration;
}

/** What one version of a model has done so far, under the names of the protocol's statistics extension. */
export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** When the last request was answered, in milliseconds since the epoch; 0 before the first. */
  readonly last_inference: number;
  /** Samples (rows), while `execution_count` counts batches. */
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: InferStatistics;
  readonly response_stats: Readonly<Record<string, InferResponseStatistics>>;
  /** By the size of the batch that was run. */
  readonly batch_stats: readonly InferBatchStatistics[];
  readonly memory_usage: readonly { readonly type: string; readonly id: number; readonly byte_size: number }[];
}

/** How a version of a model is. */
export type ModelState = "UNKNOWN" | "READY" | "UNAVAILABLE" | "LOADING" | "UNLOADING";

/** One line of a repository's index; a model that was never loaded has only its name. */
export interface RepositoryIndexEntry {
  readonly name: string;
  readonly version?: string | undefined;
  readonly state?: ModelState | undefined;
  readonly reason?: string | undefined;
}
