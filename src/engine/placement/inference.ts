import { ServableError } from "../../errors.ts";
import type { Batcher } from "../../service/batcher.ts";
import { InferenceService } from "../../service/inference-service.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { deviceOf, type ResolvedPolicy } from "../policy.ts";
import { WorkerPlacement } from "./worker-placement.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { CallResult, Logger, MaybePromise } from "../../service/service.ts";
import type { BatchEvent } from "../batching/dynamic-batcher.ts";
import type { WorkerEvent } from "../observer.ts";
import { GatheredModel } from "./gathered-model.ts";
import { InlinePlacement } from "./inline.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { RemoteModel, type ModelStart } from "./remote-model.ts";
import type { WorkerKind } from "./worker-link.ts";
import { WorkerPool } from "./worker-pool.ts";

/** What an {@link InferencePlacement} is made of. */
export interface InferencePlacementOptions {
  readonly definition: AnyServiceDefinition;
  readonly kind: WorkerKind;
  readonly spec: LoaderSpec;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
  readonly onBatch: (event: BatchEvent) => void;
  /** Requests of this service that were admitted and are not done. */
  readonly admitted: () => number;
}

/** Where the stages run elsewhere, what they make is put together here, by the batcher of this thread's own copy of the service. */
function batcherOf(definition: AnyServiceDefinition): Batcher<NamedArrays, NamedArrays> {
  const service = definition.create();
  if (service instanceof InferenceService) return service.batcher;
  throw new ServableError(
    "invalid_config",
    `Service '${definition.name}' has no stages that could run on threads of their own: policy.stages is for what defineInference makes.`,
  );
}

/**
 * Runs the stages around a model on this thread and the model on threads of its own, with the inputs of several requests put
 * together on the way: what is admitted goes on being read and prepared while the model computes.
 */
export class InferencePlacement implements ServicePlacement {
  readonly #pool: WorkerPool<RemoteModel>;
  readonly #gathered: GatheredModel;
  readonly #stages: ServicePlacement;

  constructor({ definition, kind, spec, policy, log, onChange, onBatch, admitted }: InferencePlacementOptions) {
    const service = definition.name;
    const { maxBodyBytes, killAfterMs, deadlineMs, workers, stageWorkers } = policy;
    const start = (worker: number): ModelStart => ({
      kind,
      init: { service, spec, maxBodyBytes, place: { worker, device: deviceOf(policy, worker) }, stagesOnly: false },
      log,
      killAfterMs,
      longestRunMs: deadlineMs,
    });
    const pool = new WorkerPool<RemoteModel>({
      service,
      kind,
      workers,
      log,
      onChange: (event) => {
        onChange(event);
        if (event.change === "crash_loop") gathered.workerFreed();
      },
      create: (onExit, index) => new RemoteModel(start(index), onExit),
      prepare: (worker) => gathered.prepare(worker),
      onReady: () => {
        gathered.workerFreed();
      },
    });
    const gathered: GatheredModel = new GatheredModel({
      service,
      policy: policy.batching,
      // With none left each run is refused at once, instead of waiting for its deadline.
      idle: () => (pool.lost ? Infinity : pool.idle()),
      leastBusy: () => pool.leastBusy(),
      workers: () => pool.workers(),
      admitted,
      specs: () => pool.leastBusy()?.specs ?? { inputs: [], outputs: [] },
      onBatch,
    });
    this.#pool = pool;
    this.#gathered = gathered;
    if (stageWorkers === 0) {
      this.#stages = new InlinePlacement({ definition, log, policy, onChange, gathered });
      return;
    }
    const stages = { workers: stageWorkers, firstIndex: workers, runModel: gathered.gather(batcherOf(definition)) };
    this.#stages = new WorkerPlacement({ service, kind: "thread", spec, policy, log, onChange, stages });
  }

  async start(signal: AbortSignal): Promise<void> {
    // The stages may ask the model what it takes.
    await this.#pool.start();
    signal.throwIfAborted();
    await this.#gathered.warmUp(() => this.#stages.start(signal));
  }

  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse> {
    return this.#stages.run(request, context);
  }

  call(value: unknown, context: CallContext): CallResult<unknown> {
    if (this.#stages.call !== undefined) return this.#stages.call(value, context);
    throw new ServableError("unsupported", "A service whose stages run on threads of their own takes bytes only.");
  }

  status(): PlacementStatus {
    const model = this.#pool.status();
    const stages = this.#stages.status();
    if (stages.placement === "inline") return model;
    const none = model.ready === 0 || stages.ready === 0;
    return {
      placement: model.placement,
      ready: none ? 0 : model.ready + stages.ready,
      total: model.total + stages.total,
      reason: model.reason ?? stages.reason,
    };
  }

  async stop(): Promise<void> {
    await this.#stages.stop();
    await this.#pool.stop();
  }
}
