import { Engine, type EngineOptions } from "../engine/engine.ts";
import type { Execution } from "../engine/execution.ts";
import { ServableError } from "../errors.ts";
import { InferenceError, statusOf } from "../protocol/inference-error.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { InferAdmission, InferCaller, ServedModel } from "../runtime/model-plane.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { onnxLoaderSpec } from "./backend/onnx-backend.ts";
import { batchPolicyOf } from "./batch-policy.ts";
import { buildResponse, type Labels } from "./build-response.ts";
import { prepareRequest } from "./check-request.ts";
import { ModelQueue, queueFull } from "./model-queue.ts";
import { ModelService, PlacedService, serviceName, type LoadedSpecs } from "./model-service.ts";
import { instancesOf, onnxPlanOf } from "./onnx-plan.ts";
import { signatureOf, withScalars, type Signature } from "./signature.ts";
import { VersionStatistics, type FailureReason } from "./statistics.ts";

/** Limits of every model of a server. */
export interface ModelLimits {
  /** Requests that one version may have in hand, waiting ones included. */
  readonly maxPendingRequests: number;
  /** Longest time for one answer. */
  readonly deadlineMs: number;
  /** GPUs of this machine, by number. */
  readonly gpus: readonly number[];
}

/** What a {@link ModelVersion} is made of. */
export interface ModelVersionOptions {
  readonly version: string;
  /** With every default filled in. */
  readonly config: ModelConfig;
  /** The model's folder. */
  readonly folder: string;
  /** The model's file, or its folder where it has several. */
  readonly file: string;
  readonly labels: Labels;
  readonly limits: ModelLimits;
  readonly log: EngineOptions["log"];
  /** Checks the configuration against what was loaded. */
  readonly onLoaded?: ((specs: LoadedSpecs) => void) | undefined;
}

/** One version of a model: an engine of its own, from load to unload. */
export class ModelVersion implements ServedModel {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  readonly statistics: VersionStatistics = new VersionStatistics();
  #signature: Signature;
  readonly #labels: Labels;
  readonly #queue: ModelQueue;
  readonly #engine: Engine;

  /** @throws ServableError `invalid_config` for a configuration that can't be run here */
  constructor({ version, config, folder, file, labels, limits, log, onLoaded }: ModelVersionOptions) {
    this.name = config.name ?? "";
    this.version = version;
    this.config = config;
    this.#labels = labels;
    this.#signature = signatureOf(config);
    this.#queue = new ModelQueue(config.dynamicBatching);
    const gpus = instancesOf(config, limits.gpus);
    const batching = {
      statistics: this.statistics,
      onTaken: (request: Parameters<ModelQueue["left"]>[0]): void => {
        this.#queue.left(request);
      },
    };
    const policy = {
      workers: gpus.length,
      // All of it runs in the engine's sense, waiting where the model's own queue says in which order.
      concurrency: limits.maxPendingRequests,
      queue: 0,
      deadlineMs: limits.deadlineMs,
      batching: batchPolicyOf(config),
    };
    this.#engine = new Engine({
      services: [
        new PlacedService(
          onnxLoaderSpec(onnxPlanOf(config, this.#signature, { file, folder, gpus })),
          policy,
          () =>
            new ModelService(this.#queue, batching, (specs) => {
              onLoaded?.(specs);
              this.#signature = withScalars(this.#signature, specs);
            }),
        ),
      ],
      log: log.child({ model: this.name, version }),
    });
  }

  /** Whether it takes requests. */
  get ready(): boolean {
    return this.#engine.status().ready;
  }

  /** Requests that wait for their turn. */
  get pending(): number {
    return this.#queue.waiting;
  }

  /** Loads it. @throws ServableError */
  start(): Promise<void> {
    return this.#engine.start();
  }

  /** Takes no more requests, ends those that it has, and unloads it. */
  async stop(graceMs: number): Promise<void> {
    await this.#engine.stop(graceMs);
  }

  admit({ requestId, timeoutMs, metadata }: InferCaller): InferAdmission {
    try {
      return new Admission(this, this.#engine.admit(serviceName, { requestId, timeoutMs, metadata }));
    } catch (thrown) {
      this.statistics.failed("REJECTED", undefined);
      if (ServableError.isInstance(thrown) && thrown.code === "overloaded") throw queueFull("");
      throw thrown instanceof ServableError && thrown.code === "not_ready" ? notReady(this.name, this.version) : thrown;
    }
  }

  /** Runs an admitted request. */
  async run(request: InferRequest, execution: Execution): Promise<InferResponse> {
    let prepared;
    try {
      prepared = prepareRequest(this.#signature, request);
    } catch (thrown) {
      this.statistics.failed("OTHER", undefined);
      const error = ServableError.isInstance(thrown)
        ? thrown
        : new ServableError("internal", "The request could not be checked.", { cause: thrown });
      execution.fail(error);
      throw error;
    }
    try {
      // What the service gives is what its batcher makes of the model's outputs.
      const outputs = (await execution.call(prepared)) as NamedArrays;
      const response = buildResponse(this.#signature, this.version, this.#labels, request, outputs);
      this.statistics.succeeded(prepared);
      return response;
    } catch (thrown) {
      const scheduled = prepared.taken;
      this.#queue.left(prepared);
      this.statistics.failed(reasonOf(thrown, scheduled), scheduled ? prepared.since : undefined);
      throw thrown;
    }
  }
}

/** One admitted request. */
class Admission implements InferAdmission {
  readonly #version: ModelVersion;
  readonly #execution: Execution;

  constructor(version: ModelVersion, execution: Execution) {
    this.#version = version;
    this.#execution = execution;
  }

  set onFail(callback: ((error: ServableError) => void) | undefined) {
    this.#execution.onFail = callback;
  }
  get onFail(): ((error: ServableError) => void) | undefined {
    return this.#execution.onFail;
  }

  infer(request: InferRequest): Promise<InferResponse> {
    return this.#version.run(request, this.#execution);
  }

  async *stream(request: InferRequest): AsyncIterable<InferResponse> {
    yield await this.#version.run(request, this.#execution);
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
