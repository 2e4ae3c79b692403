import type { CallContext } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { Logger } from "../../service/service.ts";
import type { WorkerEvent } from "../observer.ts";
import type { ResolvedPolicy } from "../policy.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WorkerThread } from "./worker-thread.ts";

/** What a {@link ThreadPlacement} is made of. */
export interface ThreadPlacementOptions {
  readonly service: string;
  readonly spec: LoaderSpec;
  readonly policy: ResolvedPolicy;
  readonly log: Logger;
  readonly onChange: (event: WorkerEvent) => void;
}

/** Runs a service on worker threads, each with an instance of its own. */
export class ThreadPlacement implements ServicePlacement {
  readonly #pool: WorkerPool<WorkerThread>;

  constructor({ service, spec, policy, log, onChange }: ThreadPlacementOptions) {
    const init = { service, spec, maxBodyBytes: policy.maxBodyBytes };
    this.#pool = new WorkerPool({
      service,
      workers: policy.workers,
      log,
      onChange,
      create: (onExit) => new WorkerThread(init, log, onExit),
    });
  }

  start(): Promise<void> {
    return this.#pool.start();
  }

  run(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    const worker = this.#pool.leastBusy();
    if (worker !== undefined) return worker.call(request, context);
    return this.#pool.next(context).then((ready) => ready.call(request, context));
  }

  status(): PlacementStatus {
    return this.#pool.status();
  }

  stop(): Promise<void> {
    return this.#pool.stop();
  }
}
