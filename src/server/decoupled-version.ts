import type { Execution } from "../engine/execution.ts";
import { ServableError } from "../errors.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { InferAdmission, InferCaller } from "../runtime/model-plane.ts";
import { ServiceLoader } from "../service/loader.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { typescriptStreamSpec } from "./backend/typescript-backend.ts";
import { concurrencyOf, placementOf, typescriptPlanOf } from "./backend/typescript-plan.ts";
import { arraysType, factsOf, readArrays, writeCall } from "./backend/typescript-wire.ts";
import { buildResponse, type Labels } from "./build-response.ts";
import { prepareRequest } from "./check-request.ts";
import { instancesOf } from "./instances.ts";
import type { ModelRequest } from "./model-request.ts";
import type { ModelVersionOptions } from "./model-version.ts";
import type { ServedVersion } from "./served-version.ts";
import { signatureOf, type Signature } from "./signature.ts";
import { VersionStatistics } from "./statistics.ts";
import { VersionEngine, type VersionWork } from "./version-engine.ts";

/**
 * One version of a decoupled model, which is written in TypeScript. Its requests are calls of a service whose answers are streams: each runs by
 * itself, beside others, and gives no response that its reader has no room for.
 */
export class DecoupledVersion implements ServedVersion, VersionWork {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  readonly statistics: VersionStatistics = new VersionStatistics();
  readonly stream: (request: ModelRequest, execution: Execution) => AsyncIterable<NamedArrays>;
  readonly #signature: Signature;
  readonly #labels: Labels;
  readonly #engine: VersionEngine;
  #pending = 0;

  /** @throws ServableError `invalid_config` for a configuration that can't be run here */
  constructor({ version, config, folder, file, labels, limits, log }: Omit<ModelVersionOptions, "cache" | "rateLimiter" | "onLoaded">) {
    this.name = config.name ?? "";
    this.version = version;
    this.config = config;
    this.stream = (request, execution) => this.#stream(request, execution);
    this.#signature = signatureOf(config);
    this.#labels = labels;
    const gpus = instancesOf(config, limits.gpus).map(({ gpu }) => gpu);
    const { maxPendingRequests, deadlineMs } = limits;
    const concurrency = Math.min(gpus.length * concurrencyOf(config), maxPendingRequests);
    const { maxQueueSize = 0 } = config.dynamicBatching?.defaultQueuePolicy ?? {};
    const queue = Math.min(maxPendingRequests - concurrency, maxQueueSize > 0 ? maxQueueSize : Infinity);
    const policy = {
      placement: placementOf(config),
      workers: gpus.length,
      concurrency,
      queue,
      deadlineMs,
      maxBodyBytes: Number.MAX_SAFE_INTEGER,
    };
    const spec = typescriptStreamSpec(typescriptPlanOf(config, this.#signature, { version, file, folder, gpus }));
    this.#engine = new VersionEngine(this, {
      services: [{ service: new ServiceLoader(spec), policy }],
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
    return this.#pending;
  }

  start(): Promise<void> {
    return this.#engine.start();
  }

  stop(graceMs: number): Promise<void> {
    return this.#engine.stop(graceMs);
  }

  admit(caller: InferCaller): InferAdmission {
    return this.#engine.admit(caller);
  }

  prepare(request: InferRequest): ModelRequest {
    return prepareRequest(this.#signature, request);
  }

  respond(request: InferRequest, outputs: NamedArrays): InferResponse {
    // Not every response has every output.
    const given = request.outputs.length > 0 ? request.outputs : Object.keys(outputs).map((name) => ({ name }));
    return buildResponse(
      this.#signature,
      this.version,
      this.#labels,
      { ...request, outputs: given.filter(({ name }) => Object.hasOwn(outputs, name)) },
      outputs,
    );
  }

  failed(): void {
    // Its queue is the engine's.
  }

  async *#stream(request: ModelRequest, execution: Execution): AsyncGenerator<NamedArrays, undefined> {
    const answer = await this.#answer(request, execution);
    if (answer.kind !== "stream") throw new ServableError("internal", "A decoupled model answers with a stream.");
    const since = performance.now();
    for await (const item of answer.items) {
      if (typeof item === "string") throw new ServableError("internal", "A model's arrays come as bytes.");
      yield readArrays(item);
    }
    request.inferMs = performance.now() - since;
    this.statistics.ran(Math.max(1, request.rows), 0, request.inferMs, 0);
  }

  async #answer(request: ModelRequest, execution: Execution): ReturnType<Execution["run"]> {
    this.#pending += 1;
    try {
      const body = writeCall({ inputs: request.inputs, requests: [factsOf(request)] });
      return await execution.run({ contentType: arraysType, body });
    } catch (thrown) {
      execution.fail(
        ServableError.isInstance(thrown)
          ? thrown
          : new ServableError("internal", "The request can't be sent to its model.", { cause: thrown }),
      );
      throw thrown;
    } finally {
      this.#pending -= 1;
      const queued = execution.stages.find(({ stage }) => stage === "queue");
      if (queued !== undefined) request.batchedAt = request.since + queued.ms;
    }
  }
}
