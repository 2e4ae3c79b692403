import type { CallContext } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { Logger } from "../../service/service.ts";
import type { WorkerEvent } from "../observer.ts";
import { deviceOf, type ResolvedPolicy } from "../policy.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { RemoteService, type RunModel } from "./remote-service.ts";
import type { WorkerStart } from "./worker-host.ts";
import type { WorkerKind } from "./worker-link.ts";
import { WorkerPool } from "./worker-pool.ts";

/** What a {@link WorkerPlacement} is made of. */
export interface WorkerPlacementOptions {
  readonly service: string;
  readonly kind: WorkerKind;
  readonly spec: LoaderSpec;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
  /** Set where the workers have only the stages around a model that is elsewhere. */
  readonly stages?: { readonly workers: number; readonly firstIndex: number; readonly runModel: RunModel } | undefined;
}

/** Runs a service in worker threads or processes, each with an instance of its own. */
export class WorkerPlacement implements ServicePlacement {
  readonly #pool: WorkerPool<RemoteService>;

  constructor({ service, kind, spec, policy, log, onChange, stages }: WorkerPlacementOptions) {
    const { maxBodyBytes, killAfterMs } = policy;
    const start = (worker: number): WorkerStart => ({
      kind,
      init: { service, spec, maxBodyBytes, place: { worker, device: deviceOf(policy, worker) }, stagesOnly: stages !== undefined },
      log,
      killAfterMs,
    });
    const pool = new WorkerPool<RemoteService>({
      service,
      kind,
      workers: stages?.workers ?? policy.workers,
      firstIndex: stages?.firstIndex,
      log,
      onChange,
      create: (onExit, index) => new RemoteService(start(index), onExit, onUnblocked, stages?.runModel),
    });
    const onUnblocked = (): void => {
      pool.workerFreed();
    };
    this.#pool = pool;
  }

  start(): Promise<void> {
    return this.#pool.start();
  }

  run(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    const worker = this.#pool.leastBusy();
    if (worker !== undefined) return worker.call(request, context);
    return this.#pool.next(context).then((ready) => ready.call(request, context));
  }

  get inWorkers(): number {
    return this.#pool.inFlight;
  }

  status(): PlacementStatus {
    return this.#pool.status();
  }

  stop(): Promise<void> {
    return this.#pool.stop();
  }
}
