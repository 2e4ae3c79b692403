import { Engine, type EngineOptions } from "../engine/engine.ts";
import type { Execution } from "../engine/execution.ts";
import { ServableError } from "../errors.ts";
import { InferenceError, statusOf } from "../protocol/inference-error.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { InferAdmission, InferCaller } from "../runtime/model-plane.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { modelFailure } from "./model-failure.ts";
import { queueFull } from "./model-queue.ts";
import type { ModelRequest } from "./model-request.ts";
import { serviceName } from "./model-service.ts";
import type { ResponseEnd } from "./response-statistics.ts";
import type { FailureReason, VersionStatistics } from "./statistics.ts";

/** What differs between what a {@link VersionEngine} stands in front of. */
export interface VersionWork {
  readonly name: string;
  readonly version: string;
  readonly statistics: VersionStatistics;
  /** Checks a request. @throws InferenceError */
  prepare(request: InferRequest): ModelRequest;
  /** Makes the response of the outputs. */
  respond(request: InferRequest, outputs: NamedArrays): InferResponse;
  /** Runs a request that gets any number of answers; set of decoupled models, which can't be run otherwise. */
  readonly stream?: ((request: ModelRequest, execution: Execution) => AsyncIterable<NamedArrays>) | undefined;
  /** Called when a request is over that did not succeed. */
  failed(request: ModelRequest): void;
}

/** The engine of one version: admission, deadlines and drain are its, and every request is counted here. */
export class VersionEngine {
  readonly #engine: Engine;
  readonly #work: VersionWork;

  constructor(work: VersionWork, options: EngineOptions) {
    this.#work = work;
    this.#engine = new Engine(options);
  }

  get ready(): boolean {
    return this.#engine.status().ready;
  }

  get running(): { readonly count: number; readonly placement: string } {
    const service = this.#engine.status().services[serviceName];
    return { count: service?.running ?? 0, placement: service?.placement ?? "inline" };
  }

  async start(): Promise<void> {
    try {
      await this.#engine.start();
    } catch (thrown) {
      throw modelFailure(thrown);
    }
  }

  async stop(graceMs: number): Promise<void> {
    await this.#engine.stop(graceMs);
  }

  admit({ requestId, timeoutMs, metadata }: InferCaller): InferAdmission {
    const { name, version, statistics } = this.#work;
    try {
      return new Admission(this, this.#engine.admit(serviceName, { requestId, timeoutMs, metadata }));
    } catch (thrown) {
      statistics.failed("REJECTED", undefined);
      if (!ServableError.isInstance(thrown)) throw thrown;
      if (thrown.code === "overloaded") throw queueFull("");
      throw thrown.code === "not_ready" ? notReady(name, version) : thrown;
    }
  }

  /** Runs an admitted request. */
  async run(request: InferRequest, execution: Execution): Promise<InferResponse> {
    const { statistics, name, stream } = this.#work;
    if (stream !== undefined) {
      const error = new InferenceError(
        "UNSUPPORTED",
        `model '${name}' has a decoupled transaction policy and does not give just one response`,
      );
      execution.fail(error);
      throw error;
    }
    const prepared = this.#prepare(request, execution);
    try {
      // What the services of a model server give.
      const outputs = (await execution.call(prepared)) as NamedArrays;
      const response = this.#work.respond(request, outputs);
      statistics.succeeded(prepared);
      return response;
    } catch (thrown) {
      this.#failed(prepared, thrown);
      throw thrown;
    }
  }

  /** Runs an admitted request of a decoupled model; of another one gives its one response. Whoever leaves the loop ends the rest. */
  async *stream(request: InferRequest, execution: Execution): AsyncGenerator<InferResponse, undefined> {
    const { stream, statistics } = this.#work;
    if (stream === undefined) {
      try {
        yield await this.run(request, execution);
      } finally {
        // Left before it was done: nobody waits for the rest.
        execution.cancel();
      }
      return;
    }
    const prepared = this.#prepare(request, execution);
    let isOver = false;
    let end: ResponseEnd = "cancel";
    let index = 0;
    // The reader's own time is nobody's: the clock starts again when it asks for more.
    let since = performance.now();
    try {
      for await (const outputs of stream(prepared, execution)) {
        const madeAt = performance.now();
        const response = this.#work.respond(request, outputs);
        statistics.responses.given(index, madeAt - since, performance.now() - madeAt);
        index += 1;
        yield response;
        since = performance.now();
      }
      isOver = true;
      end = "empty_response";
      statistics.succeeded(prepared);
    } catch (thrown) {
      end = ServableError.isInstance(thrown) && thrown.code === "cancelled" ? "cancel" : "fail";
      isOver = true;
      this.#failed(prepared, thrown);
      throw thrown;
    } finally {
      execution.cancel();
      statistics.responses.ended(index, end, performance.now() - since);
      if (!isOver) this.#failed(prepared, new ServableError("cancelled", "The client stopped reading."));
    }
  }

  #prepare(request: InferRequest, execution: Execution): ModelRequest {
    try {
      return this.#work.prepare(request);
    } catch (thrown) {
      const error = ServableError.isInstance(thrown)
        ? thrown
        : new ServableError("internal", "The request could not be checked.", { cause: thrown });
      execution.fail(error);
      throw error;
    }
  }

  #failed(prepared: ModelRequest, thrown: unknown): void {
    const scheduled = prepared.batchedAt > 0;
    this.#work.failed(prepared);
    this.#work.statistics.failed(reasonOf(thrown, scheduled), scheduled ? prepared.since : undefined);
  }
}

/** One admitted request. */
class Admission implements InferAdmission {
  readonly #engine: VersionEngine;
  readonly #execution: Execution;

  constructor(engine: VersionEngine, execution: Execution) {
    this.#engine = engine;
    this.#execution = execution;
  }

  set onFail(callback: ((error: ServableError) => void) | undefined) {
    this.#execution.onFail = callback;
  }
  get onFail(): ((error: ServableError) => void) | undefined {
    return this.#execution.onFail;
  }

  infer(request: InferRequest): Promise<InferResponse> {
    return this.#engine.run(request, this.#execution);
  }

  stream(request: InferRequest): AsyncIterable<InferResponse> {
    return this.#engine.stream(request, this.#execution);
  }

  cancel(): void {
    this.#execution.cancel();
  }

  fail(error: ServableError): void {
    this.#execution.fail(error);
  }
}

function reasonOf(thrown: unknown, scheduled: boolean): FailureReason {
  if (ServableError.isInstance(thrown) && thrown.code === "cancelled") return "CANCELED";
  if (!scheduled) return statusOf(thrown) === "UNAVAILABLE" ? "REJECTED" : "OTHER";
  return "BACKEND";
}

/** What a version is called that was there and is not ready. */
export function notReady(name: string, version: string): InferenceError {
  return new InferenceError("UNAVAILABLE", `Request for unknown model: '${name}' version ${version} is not at ready state`);
}
