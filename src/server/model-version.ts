import type { EngineOptions } from "../engine/engine.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { InferAdmission, InferCaller } from "../runtime/model-plane.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { onnxLoaderSpec } from "./backend/onnx-backend.ts";
import { typescriptLoaderSpec } from "./backend/typescript-backend.ts";
import { placementOf, typescriptPlanOf } from "./backend/typescript-plan.ts";
import { factsOf, packFacts } from "./backend/typescript-wire.ts";
import { batchPolicyOf } from "./batch-policy.ts";
import { buildResponse, type Labels } from "./build-response.ts";
import { prepareRequest } from "./check-request.ts";
import { ModelQueue } from "./model-queue.ts";
import type { ModelRequest } from "./model-request.ts";
import { ModelService, PlacedService, type LoadedSpecs } from "./model-service.ts";
import { instancesOf, type InstancePlace } from "./instances.ts";
import { onnxPlanOf } from "./onnx-plan.ts";
import type { RateLimiter, VersionPermits } from "./rate-limiter.ts";
import { raggedBatching } from "./ragged.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { RequestQueue } from "./request-queue.ts";
import { SequenceQueue } from "./sequence/sequence-queue.ts";
import type { ServedVersion } from "./served-version.ts";
import { signatureOf, withScalars, type Signature } from "./signature.ts";
import { VersionStatistics } from "./statistics.ts";
import { VersionCache } from "./version-cache.ts";
import { VersionEngine, type VersionWork } from "./version-engine.ts";

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
  /** The model's file. */
  readonly file: string;
  readonly labels: Labels;
  readonly limits: ModelLimits;
  /** Where the responses of models are kept that ask for it; undefined where the server has none. */
  readonly cache: ResponseCache | undefined;
  /** Who heeds the rate limiters of instances; undefined where nobody does. */
  readonly rateLimiter: RateLimiter | undefined;
  readonly log: EngineOptions["log"];
  /** Checks the configuration against what was loaded. */
  readonly onLoaded: (specs: LoadedSpecs) => void;
}

/** One version of a model that onnxruntime runs, or that is written in TypeScript, in the workers of an engine of its own. */
export class ModelVersion implements ServedVersion, VersionWork {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  readonly statistics: VersionStatistics = new VersionStatistics();
  readonly #labels: Labels;
  readonly #queue: RequestQueue;
  readonly #engine: VersionEngine;
  readonly #cache: VersionCache | undefined;
  readonly #rateLimiter: RateLimiter | undefined;
  readonly #places: readonly InstancePlace[];
  #permits: VersionPermits | undefined;
  #signature: Signature;

  /** @throws ServableError `invalid_config` for a configuration that can't be run here */
  constructor({ version, config, folder, file, labels, limits, cache, rateLimiter, log, onLoaded }: ModelVersionOptions) {
    this.name = config.name ?? "";
    this.version = version;
    this.config = config;
    this.#labels = labels;
    this.#signature = signatureOf(config);
    const isTypeScript = config.backend === "typescript";
    this.#places = instancesOf(config, limits.gpus);
    this.#rateLimiter = rateLimiter;
    const gpus = this.#places.map(({ gpu }) => gpu);
    this.#queue =
      config.sequenceBatching === undefined ? new ModelQueue(config.dynamicBatching) : new SequenceQueue(config, folder, gpus.length);
    const { maxPendingRequests, deadlineMs } = limits;
    // All that is admitted runs, in the engine's sense: the model's own queue says in which order.
    const policy = {
      workers: gpus.length,
      concurrency: maxPendingRequests,
      queue: 0,
      deadlineMs,
      batching: batchPolicyOf(config),
      placement: isTypeScript ? placementOf(config) : undefined,
    };
    const spec = isTypeScript
      ? typescriptLoaderSpec(typescriptPlanOf(config, this.#signature, { version, file, folder, gpus }))
      : onnxLoaderSpec(onnxPlanOf(config, this.#signature, { file, folder, gpus }));
    const batching = {
      statistics: this.statistics,
      ragged: raggedBatching(this.#signature, config),
      giveInputs: config.sequenceBatching === undefined,
      tell: isTypeScript ? (requests: readonly ModelRequest[]): NamedArrays => packFacts(requests.map(factsOf)) : undefined,
      onTaken: (request: ModelRequest): void => {
        this.#queue.left(request);
      },
    };
    const loaded = (specs: LoadedSpecs): void => {
      onLoaded(specs);
      this.#queue.loaded?.(specs);
      this.#signature = withScalars(this.#signature, specs);
    };
    const isCached = cache !== undefined && config.responseCache?.enable === true;
    const own = isCached ? new VersionCache(cache, this.statistics, isTypeScript) : undefined;
    this.#cache = own;
    this.#engine = new VersionEngine(this, {
      services: [
        new PlacedService(
          spec,
          policy,
          () => new ModelService({ queue: this.#queue, batching, cache: own, permits: this.#permits, onLoaded: loaded }),
        ),
      ],
      log: log.child({ model: this.name, version }),
    });
  }

  get ready(): boolean {
    return this.#engine.ready;
  }

  get running(): ServedVersion["running"] {
    return this.#engine.running;
  }

  get pending(): number {
    return this.#queue.waiting;
  }

  get cached(): boolean {
    return this.#cache !== undefined;
  }

  async start(): Promise<void> {
    await this.#queue.load?.();
    this.#permits = this.#rateLimiter?.join(this.#places);
    await this.#engine.start();
  }

  async stop(graceMs: number): Promise<void> {
    this.#queue.drain?.();
    await this.#engine.stop(graceMs);
    if (this.#permits !== undefined) this.#rateLimiter?.leave(this.#permits);
    this.#queue.close?.();
    this.#cache?.close();
  }

  admit(caller: InferCaller): InferAdmission {
    return this.#engine.admit(caller);
  }

  prepare(request: InferRequest): ModelRequest {
    return prepareRequest(this.#signature, request);
  }

  respond(request: InferRequest, outputs: NamedArrays): InferResponse {
    return buildResponse(this.#signature, this.version, this.#labels, request, outputs);
  }

  failed(request: ModelRequest): void {
    this.#queue.left(request);
  }
}
