import type { InferBatchStatistics, InferStatistics, ModelStatistics } from "../protocol/model-info.ts";
import type { ModelRequest } from "./model-request.ts";
import { ResponseStatistics } from "./response-statistics.ts";
import { Tally } from "./tally.ts";

/** Why a request that was taken in failed, as Triton's metrics have it. */
export type FailureReason = "REJECTED" | "CANCELED" | "BACKEND" | "OTHER";

class BatchTally {
  readonly input: Tally = new Tally();
  readonly infer: Tally = new Tally();
  readonly output: Tally = new Tally();
}

/** What one version of a model has done so far. */
export class VersionStatistics {
  /** Of a decoupled model; of others it stays empty. */
  readonly responses: ResponseStatistics = new ResponseStatistics();
  readonly #success = new Tally();
  readonly #fail = new Tally();
  readonly #queue = new Tally();
  readonly #input = new Tally();
  readonly #infer = new Tally();
  readonly #output = new Tally();
  readonly #cacheHit = new Tally();
  readonly #cacheMiss = new Tally();
  readonly #batches = new Map<number, BatchTally>();
  readonly #failures: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 };
  #lastInference = 0;
  #inferences = 0;
  #executions = 0;

  /** A batch was run. */
  ran(rows: number, inputMs: number, inferMs: number, outputMs: number): void {
    this.#executions += 1;
    let tally = this.#batches.get(rows);
    if (tally === undefined) this.#batches.set(rows, (tally = new BatchTally()));
    tally.input.add(inputMs);
    tally.infer.add(inferMs);
    tally.output.add(outputMs);
  }

  /** A request has its answer. */
  succeeded(request: ModelRequest): void {
    const { rows, since, batchedAt, inputMs, inferMs, outputMs } = request;
    this.#lastInference = Date.now();
    this.#success.add(performance.now() - since);
    if (request.hit) {
      // Nothing was run for it.
      this.#queue.add(0);
      this.#cacheHit.add(request.lookupMs);
      return;
    }
    this.#inferences += Math.max(1, rows);
    this.#queue.add(batchedAt - since);
    this.#input.add(inputMs);
    this.#infer.add(inferMs);
    this.#output.add(outputMs);
  }

  /** The cache had no answer: looking for one, and keeping it afterwards, took that long. */
  missed(ms: number): void {
    this.#cacheMiss.add(ms);
  }

  /** A request failed; one that was refused before it was scheduled counts only by its reason. */
  failed(reason: FailureReason, since: number | undefined): void {
    this.#failures[reason] += 1;
    if (since !== undefined) this.#fail.add(performance.now() - since);
  }

  /** How many requests failed, by reason: for metrics. */
  get failures(): Readonly<Record<FailureReason, number>> {
    return { ...this.#failures };
  }

  /** Under the names of the protocol. */
  report(name: string, version: string): ModelStatistics {
    const inferStats: InferStatistics = {
      success: this.#success.duration,
      fail: this.#fail.duration,
      queue: this.#queue.duration,
      compute_input: this.#input.duration,
      compute_infer: this.#infer.duration,
      compute_output: this.#output.duration,
      cache_hit: this.#cacheHit.duration,
      cache_miss: this.#cacheMiss.duration,
    };
    return {
      name,
      version,
      last_inference: this.#lastInference,
      inference_count: this.#inferences,
      execution_count: this.#executions,
      inference_stats: inferStats,
      response_stats: this.responses.report(),
      batch_stats: this.#batchStats(),
      memory_usage: [],
    };
  }

  #batchStats(): readonly InferBatchStatistics[] {
    return [...this.#batches]
      .sort(([a], [b]) => a - b)
      .map(([rows, { input, infer, output }]) => ({
        batch_size: rows,
        compute_input: input.duration,
        compute_infer: infer.duration,
        compute_output: output.duration,
      }));
  }
}
