import { ServableError } from "../../errors.ts";
import type { Model, ModelCaller, ModelRunOptions } from "../../model/model.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { Logger, MaybePromise } from "../../service/service.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { rowsOf, splitNamed, stackNamed } from "../../tensor/stack.ts";
import { DynamicBatcher, type BatchEvent, type RunningBatch } from "../batching/dynamic-batcher.ts";
import type { WorkerEvent } from "../observer.ts";
import type { ResolvedPolicy } from "../policy.ts";
import { InlinePlacement } from "./inline.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { RemoteModel } from "./remote-model.ts";
import type { WorkerKind } from "./worker-link.ts";
import { WorkerPool } from "./worker-pool.ts";

/** What an {@link InferencePlacement} is made of. */
export interface InferencePlacementOptions {
  readonly definition: AnyServiceDefinition;
  /** Where the model runs. */
  readonly kind: WorkerKind;
  readonly spec: LoaderSpec;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
  readonly onBatch: (event: BatchEvent) => void;
  /** Requests of this service that were admitted and are not done. */
  readonly admitted: () => number;
}

/**
 * Runs the stages around a model on this thread and the model in threads or processes of its own, with the inputs of several requests put
 * together on the way: what is admitted goes on being read and prepared while the model computes.
 */
export class InferencePlacement implements ServicePlacement {
  readonly #pool: WorkerPool<RemoteModel>;
  readonly #stages: InlinePlacement;
  readonly #batcher: DynamicBatcher<NamedArrays, NamedArrays>;

  constructor(options: InferencePlacementOptions) {
    const { definition, kind, spec, policy, log, onChange } = options;
    const service = definition.name;
    const init = { service, spec, maxBodyBytes: policy.maxBodyBytes };
    const start = { kind, init, log, killAfterMs: policy.killAfterMs, longestRunMs: policy.deadlineMs };
    this.#pool = new WorkerPool({
      service,
      kind,
      workers: policy.workers,
      log,
      onChange,
      create: (onExit) => new RemoteModel(start, onExit),
      onReady: () => {
        this.#batcher.workerFreed();
      },
    });
    this.#batcher = new DynamicBatcher({
      policy: policy.batching,
      rowsOf: policy.batching.maxRows === 1 ? () => 1 : rowsOf,
      keyOf: policy.batching.maxRows === 1 ? () => "" : shapeKey,
      idle: () => this.#pool.idle(),
      expected: () => options.admitted() - this.#batcher.inside,
      run: (inputs, batch) => this.#runBatch(inputs, batch),
      onBatch: options.onBatch,
    });
    this.#stages = new InlinePlacement(definition, log, policy, this.#model(service));
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#pool.start(), this.#stages.start(signal)]);
  }

  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse> {
    return this.#stages.run(request, context);
  }

  status(): PlacementStatus {
    return this.#pool.status();
  }

  async stop(): Promise<void> {
    await this.#stages.stop();
    await this.#pool.stop();
  }

  /** The model as the service sees it. */
  #model(name: string): Model {
    return {
      name,
      // Told by the model itself, which is elsewhere.
      inputs: [],
      outputs: [],
      run: (inputs, options) => this.#submit(inputs, options),
      close: () => undefined,
    };
  }

  #submit(inputs: NamedArrays, options: ModelRunOptions = {}): Promise<NamedArrays> {
    const { context } = options;
    const signal = options.signal ?? context?.signal;
    return this.#batcher.submit(inputs, { ...(signal === undefined ? {} : { signal }), deadline: deadlineOf(context) });
  }

  async #runBatch(inputs: readonly NamedArrays[], batch: RunningBatch): Promise<readonly NamedArrays[]> {
    const worker = this.#pool.leastBusy();
    if (worker === undefined) throw new ServableError("not_ready", "The model has no worker that is ready.", { retryAfterMs: 1_000 });
    const [only] = inputs;
    if (inputs.length === 1 && only !== undefined) return [await worker.run(only, false, batch)];
    const outputs = await worker.run(stackNamed(inputs), true, batch);
    return splitNamed(outputs, inputs.map(rowsOf));
  }
}

/** The batcher's clock is steady, a request's deadline is of the calendar. */
function deadlineOf(context: ModelCaller | undefined): number {
  if (context === undefined || context.deadline === Infinity) return Infinity;
  return performance.now() + (context.deadline - Date.now());
}

/** Arrays of one key can be stacked: the same names, types and shapes, rows aside. */
function shapeKey(named: NamedArrays): string {
  let key = "";
  for (const name in named) {
    const array = named[name];
    if (array !== undefined) key += `${name}:${array.dataType}:${array.shape.slice(1).join("x")};`;
  }
  return key;
}
