import type { CallContext } from "../../service/call-context.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { Logger, MaybePromise } from "../../service/service.ts";
import type { BatchEvent } from "../batching/dynamic-batcher.ts";
import type { WorkerEvent } from "../observer.ts";
import type { ResolvedPolicy } from "../policy.ts";
import { GatheredModel } from "./gathered-model.ts";
import { InlinePlacement } from "./inline.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { RemoteModel } from "./remote-model.ts";
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

/**
 * Runs the stages around a model on this thread and the model on threads of its own, with the inputs of several requests put
 * together on the way: what is admitted goes on being read and prepared while the model computes.
 */
export class InferencePlacement implements ServicePlacement {
  readonly #pool: WorkerPool<RemoteModel>;
  readonly #stages: InlinePlacement;

  constructor({ definition, kind, spec, policy, log, onChange, onBatch, admitted }: InferencePlacementOptions) {
    const service = definition.name;
    const init = { service, spec, maxBodyBytes: policy.maxBodyBytes };
    const start = { kind, init, log, killAfterMs: policy.killAfterMs, longestRunMs: policy.deadlineMs };
    const pool = new WorkerPool<RemoteModel>({
      service,
      kind,
      workers: policy.workers,
      log,
      onChange,
      create: (onExit) => new RemoteModel(start, onExit),
      prepare: (worker) => gathered.prepare(worker),
      onReady: () => {
        gathered.workerFreed();
      },
    });
    const gathered: GatheredModel = new GatheredModel({
      service,
      policy: policy.batching,
      idle: () => pool.idle(),
      leastBusy: () => pool.leastBusy(),
      workers: () => pool.workers(),
      admitted,
      specs: () => pool.leastBusy()?.specs ?? { inputs: [], outputs: [] },
      onBatch,
    });
    this.#pool = pool;
    this.#stages = new InlinePlacement({ definition, log, policy, onChange, gathered });
  }

  async start(signal: AbortSignal): Promise<void> {
    // The stages may ask the model what it takes.
    await this.#pool.start();
    await this.#stages.start(signal);
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
}
