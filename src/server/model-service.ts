import { ServableError } from "../errors.ts";
import type { TensorSpec } from "../model/model.ts";
import { makeDefinition } from "../service/define-service.ts";
import type { AnyServiceDefinition, ServicePolicy } from "../service/definition.ts";
import { ServiceLoader, type LoaderSpec } from "../service/loader.ts";
import { Service, type MaybePromise, type ServiceContext, type SetupContext } from "../service/service.ts";
import { CallContext } from "../service/call-context.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelRequest } from "./model-request.ts";
import type { RunPermits } from "../service/batcher.ts";
import type { RequestQueue } from "./request-queue.ts";
import type { VersionCache } from "./version-cache.ts";
import { requestBatcher, type RequestBatcherOptions } from "./request-batcher.ts";

/** The name of the one service in each engine: a model's own may have any characters. */
export const serviceName = "model";

/** What a loaded model says of itself. */
export interface LoadedSpecs {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** What a {@link ModelService} is made of. */
export interface ModelServiceParts {
  readonly queue: RequestQueue;
  readonly batching: RequestBatcherOptions;
  /** Of a model whose responses are kept. */
  readonly cache: VersionCache | undefined;
  /** Of a model with rate limiters that are heeded. */
  readonly permits: RunPermits | undefined;
  readonly onLoaded: (specs: LoadedSpecs) => void;
}

/** What runs on the thread that takes requests: they are queued as the configuration says, and run where the model is. */
export class ModelService extends Service<ModelRequest, NamedArrays> {
  readonly #queue: RequestQueue;
  readonly #batching: RequestBatcherOptions;
  readonly #cache: VersionCache | undefined;
  readonly #permits: RunPermits | undefined;
  readonly #onLoaded: (specs: LoadedSpecs) => void;

  constructor({ queue, batching, cache, permits, onLoaded }: ModelServiceParts) {
    super();
    this.#cache = cache;
    this.#permits = permits;
    this.#queue = queue;
    this.#batching = batching;
    this.#onLoaded = onLoaded;
  }

  override setup(context: SetupContext): void {
    this.#onLoaded(specsIn(context));
    if (context.gather === undefined) throw new ServableError("internal", "A model of a repository runs in workers.");
    this.#queue.open(context.gather(requestBatcher(this.#batching), this.#permits));
  }

  override call(request: ModelRequest, context: ServiceContext): MaybePromise<NamedArrays> {
    if (!(context instanceof CallContext)) throw new ServableError("internal", "A request to a model comes from the engine.");
    const cache = this.#cache;
    if (cache === undefined) return this.#queue.submit(request, context);
    return (
      cache.find(request) ??
      this.#queue.submit(request, context).then((outputs) => {
        cache.keep(request, outputs);
        return outputs;
      })
    );
  }
}

/** Loads a model to ask it what it takes and gives. */
export class ProbeService extends Service {
  readonly #onLoaded: (specs: LoadedSpecs) => void;

  constructor(onLoaded: (specs: LoadedSpecs) => void) {
    super();
    this.#onLoaded = onLoaded;
  }

  override setup(context: SetupContext): void {
    this.#onLoaded(specsIn(context));
  }

  override call(): never {
    throw new ServableError("unsupported", "It was loaded to be looked at only.");
  }
}

function specsIn({ model }: SetupContext): LoadedSpecs {
  if (model === undefined) throw new ServableError("internal", "A model of a repository runs in workers.");
  return { inputs: model.inputs, outputs: model.outputs };
}

/** A service that is constructed here with what only this thread has, and in workers by its spec. */
export class PlacedService extends ServiceLoader {
  readonly #definition: AnyServiceDefinition;

  constructor(spec: LoaderSpec, policy: ServicePolicy, create: () => Service) {
    super(spec);
    this.#definition = makeDefinition(
      {
        name: serviceName,
        model: true,
        // Says that there is a model apart from the service; the workers' own definition says which.
        loadModel: () => {
          throw new ServableError("internal", "The model of a repository is loaded in workers.");
        },
        jsonSchema: { input: {}, output: {} },
        policy,
      },
      create,
    );
  }

  override definition(): Promise<AnyServiceDefinition> {
    return Promise.resolve(this.#definition);
  }
}
