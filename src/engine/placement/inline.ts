import { ServableError, messageOf } from "../../errors.ts";
import { allowBlocking } from "../../model/io-thread.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { FullService, type EncodedRequest, type EncodedResponse } from "../../service/full-service.ts";
import type { CallResult, Logger, MaybePromise, SetupContext } from "../../service/service.ts";
import type { WorkerEvent } from "../observer.ts";
import type { ResolvedPolicy } from "../policy.ts";
import { closeInTime } from "./close-in-time.ts";
import type { GatheredModel } from "./gathered-model.ts";
import type { PlacementStatus, ServicePlacement } from "./placement.ts";

/** What an {@link InlinePlacement} is made of. */
export interface InlinePlacementOptions {
  readonly definition: AnyServiceDefinition;
  readonly log: Logger;
  readonly policy: ResolvedPolicy;
  readonly onChange: (event: WorkerEvent) => void;
  /** The model that the service is to use, where the engine has placed it elsewhere. */
  readonly gathered?: GatheredModel | undefined;
}

/** Runs a service on the thread that asks: no hop, and no protection from a service that computes for long. */
export class InlinePlacement implements ServicePlacement {
  readonly inWorkers: number = 0;
  readonly #definition: AnyServiceDefinition;
  readonly #log: Logger;
  /** Whether the service asked to be here, and so may block this thread. Of one with a model of its own that is the model's to do. */
  readonly #mayBlock: boolean;
  #service: FullService | undefined;
  #stopped = false;

  readonly #maxBodyBytes: number;
  readonly #gathered: GatheredModel | undefined;
  readonly #onChange: (event: WorkerEvent) => void;

  constructor({ definition, log, policy, onChange, gathered }: InlinePlacementOptions) {
    this.#gathered = gathered;
    this.#onChange = onChange;
    this.#definition = definition;
    this.#maxBodyBytes = policy.maxBodyBytes;
    this.#log = log;
    this.#mayBlock = policy.placementAsked && gathered === undefined;
  }

  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#scoped(async () => {
        const coding = { ...this.#definition, policy: { maxBodyBytes: this.#maxBodyBytes } };
        const service = new FullService(this.#definition.create(), coding);
        await service.setup({ signal, log: this.#log, ...portOf(this.#gathered) });
        await this.#warmUp(service);
        // `stop` came while it was set up, and found nothing to close.
        if (this.#stopped) await service.close();
        else this.#service = service;
      });
    } catch (thrown) {
      throw setupFailure(this.#definition.name, thrown);
    }
  }

  async #warmUp(service: FullService): Promise<void> {
    const { name, warmup } = this.#definition;
    if (warmup.length === 0) return;
    const since = performance.now();
    await service.warmUp(warmup);
    this.#onChange({ service: name, worker: 0, change: "warmed_up", warmupMs: performance.now() - since });
  }

  run(request: EncodedRequest, context: CallContext): MaybePromise<EncodedResponse> {
    const service = this.#ready();
    return this.#mayBlock ? allowBlocking(() => service.call(request, context)) : service.call(request, context);
  }

  call(value: unknown, context: CallContext): CallResult<unknown> {
    const service = this.#ready();
    return this.#mayBlock ? allowBlocking(() => service.callValue(value, context)) : service.callValue(value, context);
  }

  #ready(): FullService {
    if (this.#service !== undefined) return this.#service;
    throw new ServableError("not_ready", `Service '${this.#definition.name}' is not ready. Try again soon.`, { retryAfterMs: 1_000 });
  }

  status(): PlacementStatus {
    const ready = this.#service === undefined ? 0 : 1;
    return { placement: "inline", ready, total: 1, reason: ready === 0 ? "not set up" : undefined };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const service = this.#service;
    this.#service = undefined;
    await closeInTime(service?.close());
  }

  #scoped<T>(work: () => T): T {
    return this.#mayBlock ? allowBlocking(work) : work();
  }
}

function portOf(gathered: GatheredModel | undefined): Pick<SetupContext, "model" | "gather"> {
  return gathered === undefined ? {} : { model: gathered.model, gather: (batcher, permits) => gathered.gather(batcher, permits) };
}

/** What a failing construction or `setup` is called. */
export function setupFailure(service: string, thrown: unknown): ServableError {
  if (ServableError.isInstance(thrown) && thrown.code !== "invalid_argument") {
    const isNamed = thrown.message.startsWith(`Service '${service}'`);
    const message = isNamed ? thrown.message : `Service '${service}' could not be set up: ${thrown.message}`;
    return new ServableError(thrown.code, message, { cause: thrown.cause ?? thrown });
  }
  const [reason = ""] = messageOf(thrown).split("\n");
  return new ServableError("load_failed", `Service '${service}' could not be set up: ${reason}`, { cause: thrown });
}
