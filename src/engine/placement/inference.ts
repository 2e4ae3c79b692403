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
import type { ModelLoader } from "../../service/model-loader.ts";
import type { CallResult, Logger, MaybePromise } from "../../service/service.ts";
import type { Arrivals } from "../batching/arrivals.ts";
import type { BatchEvent } from "../batching/dynamic-batcher.ts";
import type { WorkerEvent } from "../observer.ts";
import { GatheredModel, type ModelWorker } from "./gathered-model.ts";
import { InlinePlacement } from "./inline.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import type { RunModel } from "./remote-service.ts";
import { LocalModel } from "./local-model.ts";
import { RemoteModel, type ModelSpecs, type ModelStart } from "./remote-model.ts";
import type { WorkerKind } from "./worker-link.ts";
import { WorkerPool } from "./worker-pool.ts";

/** What an {@link InferencePlacement} is made of. */
export interface InferencePlacementOptions {
  readonly definition: AnyServiceDefinition;
  readonly loadModel: ModelLoader;
  /** What the model's workers are, and how they construct the service; undefined where the model runs on this thread. */
  readonly worker: { readonly kind: WorkerKind; readonly spec: LoaderSpec } | undefined;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
  readonly onBatch: (event: BatchEvent) => void;
  /** Set where a batch may wait for others. */
  readonly arrivals: Arrivals | undefined;
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

/** The places of one model. */
interface ModelPlaces {
  /** Whether none is there and none will come. */
  readonly lost: boolean;
  start(): Promise<void>;
  /** How many are ready and have nothing to do. */
  idle(): number;
  /** The ready one with the least to do. */
  leastBusy(): (ModelWorker & { readonly specs: ModelSpecs }) | undefined;
  /** All that are ready. */
  workers(): readonly ModelWorker[];
  /** What runs in all of them. */
  readonly inFlight: number;
  status(): PlacementStatus;
  stop(): Promise<void>;
}

/**
 * Runs the stages around a model on this thread and the model on threads of its own (or here, too, where its service asks for that), with the
 * inputs of several requests put together on the way: what is admitted goes on being read and prepared while the model computes elsewhere.
 */
export class InferencePlacement implements ServicePlacement {
  readonly #places: ModelPlaces;
  readonly #gathered: GatheredModel;
  readonly #stages: ServicePlacement;
  readonly #arrivals: Arrivals | undefined;

  constructor(options: InferencePlacementOptions) {
    const { definition, worker, policy, log, onChange, onBatch, arrivals } = options;
    this.#arrivals = arrivals;
    const service = definition.name;
    const places: ModelPlaces = placesOf(options, () => gathered);
    const gathered: GatheredModel = new GatheredModel({
      service,
      policy: policy.batching,
      // With none left each run is refused at once, instead of waiting for its deadline.
      idle: () => (places.lost ? Infinity : places.idle()),
      leastBusy: () => places.leastBusy(),
      workers: () => places.workers(),
      arrivals,
      specs: () => places.leastBusy()?.specs ?? { inputs: [], outputs: [] },
      onBatch,
    });
    this.#places = places;
    this.#gathered = gathered;
    const { workers, stageWorkers } = policy;
    if (stageWorkers === 0 || worker === undefined) {
      this.#stages = new InlinePlacement({ definition, log, policy, onChange, gathered });
      return;
    }
    const run = gathered.gather(batcherOf(definition));
    const runModel: RunModel = (inputs, runOptions, index) => {
      if (index !== workers) gathered.echo(inputs);
      return run(inputs, runOptions);
    };
    const stages = { workers: stageWorkers, firstIndex: workers, runModel };
    this.#stages = new WorkerPlacement({ service, kind: "thread", spec: worker.spec, policy, log, onChange, stages });
  }

  async start(signal: AbortSignal): Promise<void> {
    // The stages may ask the model what it takes.
    await this.#places.start();
    signal.throwIfAborted();
    await this.#gathered.warmUp(() => this.#stages.start(signal));
  }

  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse> {
    const arrivals = this.#arrivals;
    if (arrivals === undefined) return this.#stages.run(request, context);
    return arrivals.during(context, () => this.#stages.run(request, context));
  }

  call(value: unknown, context: CallContext): CallResult<unknown> {
    if (this.#stages.call !== undefined) return this.#stages.call(value, context);
    throw new ServableError("unsupported", "A service whose stages run on threads of their own takes bytes only.");
  }

  get inWorkers(): number {
    // A call may be in a worker with its stages and, for that, in one with the model.
    return Math.max(this.#places.inFlight, this.#stages.inWorkers);
  }

  status(): PlacementStatus {
    const model = this.#places.status();
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
    try {
      await this.#stages.stop();
    } finally {
      await this.#places.stop();
    }
  }
}

function placesOf(
  { definition, loadModel, worker, policy, log, onChange }: InferencePlacementOptions,
  gathered: () => GatheredModel,
): ModelPlaces {
  const service = definition.name;
  if (worker === undefined) {
    return new LocalModel({ service, load: loadModel, device: deviceOf(policy, 0), log, onChange });
  }
  const { maxBodyBytes, killAfterMs, deadlineMs, workers } = policy;
  const { kind, spec } = worker;
  const start = (index: number): ModelStart => ({
    kind,
    init: { service, spec, maxBodyBytes, place: { worker: index, device: deviceOf(policy, index) }, stagesOnly: false },
    log,
    killAfterMs,
    longestRunMs: deadlineMs,
  });
  return new WorkerPool<RemoteModel>({
    service,
    kind,
    workers,
    log,
    onChange: (event) => {
      onChange(event);
      if (event.change === "crash_loop") gathered().workerFreed();
    },
    create: (onExit, index) => new RemoteModel(start(index), onExit),
    prepare: (made) => gathered().prepare(made),
    onReady: () => {
      gathered().workerFreed();
    },
  });
}
