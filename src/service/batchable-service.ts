import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { BatchedModel } from "./batched-model.ts";
import type { AnyBatcher, Batcher } from "./batcher.ts";
import { checkFunctions, checkInfoKeys } from "./check-options.ts";
import { makeDefinition } from "./define-service.ts";
import type { CallInput, CallOutput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption } from "./inference.ts";
import type { ModelLoader } from "./model-loader.ts";
import { askPriority, priorityOf, type ModelServiceDefinition, type ModelServiceInfo, type ModelServiceOptions } from "./model-service.ts";
import { Service, type MaybePromise, type ServiceContext, type SetupContext } from "./service.ts";

const keys = { priority: true } satisfies KeysOf<ModelServiceOptions<unknown>>;

/**
 * A {@link Batcher} around a model: the requests that the engine puts together, checked by the service's schema, become one run. A bare
 * `call` makes a batch of one.
 */
export class BatchableService<I = unknown, O = unknown> extends Service<I, O> {
  readonly #batcher: AnyBatcher<I, O>;
  readonly #loadModel: ModelLoader;
  readonly #options: ModelServiceOptions<I>;
  #model: BatchedModel<I, O> | undefined;

  /** @throws ServableError `invalid_config` */
  constructor(batcher: AnyBatcher<I, O>, loadModel: ModelLoader, options: ModelServiceOptions<I> = {}) {
    super();
    refuseUnknownKeys(options, keys, "BatchableService");
    this.#batcher = batcher;
    this.#loadModel = loadModel;
    this.#options = options;
  }

  override async setup(context: SetupContext): Promise<void> {
    this.#model = await BatchedModel.open(this.#batcher, this.#loadModel, context);
  }

  override call(request: I, context: ServiceContext): MaybePromise<O> {
    const model = this.#model;
    if (model === undefined) throw new ServableError("not_ready", "The service has not been set up: await setup() first.");
    const priority = askPriority(this.#options, request, context);
    return context.stage("model", () => model.run(request, { context, priority }));
  }

  override async close(): Promise<void> {
    await this.#model?.close();
    this.#model = undefined;
  }
}

/** What {@link defineBatchable} takes. */
export interface DefineBatchableOptions<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
  B extends Tensor | NamedArrays,
>
  extends ModelServiceInfo<N, S, T, Q, P>, Batcher<CallInput<S, Q>, CallOutput<T, P>, B> {}

/**
 * Defines a {@link BatchableService}: `batch` makes one run of a model out of several requests, `unbatch` the answers out of what it gave.
 * The model runs on a worker thread, and `policy.batching` says how many requests are put together, and when.
 *
 * @example
 * ```ts
 * import { Tensor, defineBatchable } from "servable";
 * import { loadOnnxModel } from "servable/onnx";
 * import { z } from "zod";
 *
 * export const score = defineBatchable({
 *   name: "score",
 *   input: z.object({ features: z.array(z.number()).length(64) }),
 *   output: z.number(),
 *   model: () => loadOnnxModel("./score.onnx"),
 *   policy: { batching: { maxRows: 16 } },
 *   batch: (requests) => ({ features: Tensor.from("FP32", requests.map(({ features }) => features)) }),
 *   unbatch: ({ score }) => Array.from(score?.as("FP32").data ?? []),
 * });
 * ```
 */
export function defineBatchable<
  const N extends string,
  S extends StreamableSchemaOption = undefined,
  T extends SchemaOption = undefined,
  Q extends RequestOption = undefined,
  P extends ResponseOption = undefined,
  B extends Tensor | NamedArrays = NamedArrays,
>(options: DefineBatchableOptions<N, S, T, Q, P, B>): ModelServiceDefinition<N, S, T, Q, P> {
  checkInfoKeys(options, ["batch", "unbatch", "rows", "key", "fresh", "priority"]);
  checkFunctions(options, ["model", "batch", "unbatch"], ["rows", "key", "priority"]);
  const { model, ...info } = options;
  return makeDefinition({ ...info, model: true, loadModel: model }, () => new BatchableService(options, model, priorityOf(options)));
}
