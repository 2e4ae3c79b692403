import { ServableError } from "../errors.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { namedArraysBatcher } from "./array-batchers.ts";
import { BatchedModel } from "./batched-model.ts";
import type { Batcher } from "./batcher.ts";
import { makeDefinition } from "./define-service.ts";
import { chain } from "./chain.ts";
import type { CallInput, CallOutput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption } from "./inference.ts";
import type { ModelLoader } from "./model-loader.ts";
import type { ModelServiceDefinition, ModelServiceInfo, ModelServiceOptions } from "./model-service.ts";
import type { Processor } from "./processor.ts";
import { Service, type MaybePromise, type ServiceContext, type SetupContext } from "./service.ts";

/** How an {@link InferenceService} runs its model. */
export interface InferenceOptions<I> extends ModelServiceOptions<I> {
  /** How the model's inputs of several requests are put together. @default {@link namedArraysBatcher} */
  readonly batcher?: Batcher<NamedArrays, NamedArrays> | undefined;
}

/**
 * A {@link Processor} around a model. In a runtime the engine places the model on a thread of its own and puts the inputs of
 * several requests together; a bare `call` runs the same stages here, one request at a time.
 */
export class InferenceService<I = unknown, O = unknown> extends Service<I, O> {
  readonly #processor: Processor<I, O>;
  readonly #loadModel: ModelLoader;
  readonly #options: InferenceOptions<I>;
  /** How the model's inputs of several requests are put together: where its stages run elsewhere, the engine asks for it. */
  readonly batcher: Batcher<NamedArrays, NamedArrays>;
  #model: BatchedModel<NamedArrays, NamedArrays> | undefined;

  constructor(processor: Processor<I, O>, loadModel: ModelLoader, options: InferenceOptions<I> = {}) {
    super();
    this.#processor = processor;
    this.#loadModel = loadModel;
    this.#options = options;
    this.batcher = options.batcher ?? namedArraysBatcher();
  }

  override async setup(context: SetupContext): Promise<void> {
    this.#model = await BatchedModel.open(this.batcher, this.#loadModel, context);
  }

  override call(request: I, context: ServiceContext): MaybePromise<O> {
    const model = this.#model;
    if (model === undefined) throw new ServableError("not_ready", "The service has not been set up: await setup() first.");
    const priority = this.#options.priority?.(request, context);
    return chain(
      context.stage("preprocess", () => this.#processor.preprocess(request, context)),
      (inputs) =>
        chain(
          context.stage("model", () => model.run(inputs, { context, priority })),
          (outputs) => context.stage("postprocess", () => this.#processor.postprocess(outputs, request, context)),
        ),
    );
  }

  override async close(): Promise<void> {
    await this.#model?.close();
    this.#model = undefined;
  }
}

/** What {@link defineInference} takes. */
export interface DefineInferenceOptions<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
>
  extends ModelServiceInfo<N, S, T, Q, P>, Processor<CallInput<S, Q>, CallOutput<T, P>>, InferenceOptions<CallInput<S, Q>> {}

/**
 * Defines an {@link InferenceService}: preprocess, a model, postprocess. The model runs on a worker thread, and
 * `policy.batching` says how requests are put together for it.
 *
 * @example
 * ```ts
 * import { Tensor, defineInference } from "servable";
 * import { loadOnnxModel } from "servable/onnx";
 * import { z } from "zod";
 *
 * export const classify = defineInference({
 *   name: "classify",
 *   input: z.object({ features: z.array(z.number()).length(64) }),
 *   output: z.object({ scores: z.array(z.number()) }),
 *   model: () => loadOnnxModel("./classify.onnx"),
 *   policy: { batching: { maxRows: 16 } },
 *   preprocess: ({ features }) => ({ features: new Tensor("FP32", [1, 64], Float32Array.from(features)) }),
 *   postprocess: ({ scores }) => ({ scores: Array.from(scores?.as("FP32").data ?? []) }),
 * });
 * ```
 */
export function defineInference<
  const N extends string,
  S extends StreamableSchemaOption = undefined,
  T extends SchemaOption = undefined,
  Q extends RequestOption = undefined,
  P extends ResponseOption = undefined,
>(options: DefineInferenceOptions<N, S, T, Q, P>): ModelServiceDefinition<N, S, T, Q, P> {
  const { model, ...info } = options;
  return makeDefinition({ ...info, model: true, loadModel: model }, () => new InferenceService(options, model, options));
}
