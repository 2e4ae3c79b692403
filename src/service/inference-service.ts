import { ServableError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { makeDefinition } from "./define-service.ts";
import type { ServiceDefinition, ServiceInfo } from "./definition.ts";
import { chain } from "./chain.ts";
import type { CallInput, CallOutput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption, WireOf } from "./inference.ts";
import type { Processor } from "./processor.ts";
import { Service, type MaybePromise, type ServiceContext, type SetupContext } from "./service.ts";

/** Loads a model where it is to run. */
export type ModelLoader = () => MaybePromise<Model>;

/**
 * A {@link Processor} around a model. In a runtime the engine places the model on a thread of its own and puts the inputs of
 * several requests together; a bare `call` runs the same stages here, one request at a time.
 */
export class InferenceService<I = unknown, O = unknown> extends Service<I, O> {
  readonly #processor: Processor<I, O>;
  readonly #loadModel: ModelLoader;
  #model: Model | undefined;
  /** Whether the model was loaded here, and so is closed here. */
  #own = false;

  constructor(processor: Processor<I, O>, loadModel: ModelLoader) {
    super();
    this.#processor = processor;
    this.#loadModel = loadModel;
  }

  override async setup(context: SetupContext): Promise<void> {
    this.#own = context.model === undefined;
    this.#model = context.model ?? (await this.#loadModel());
  }

  override call(request: I, context: ServiceContext): MaybePromise<O> {
    const model = this.#model;
    if (model === undefined) throw new ServableError("not_ready", "The service has not been set up: await setup() first.");
    return chain(
      context.stage("preprocess", () => this.#processor.preprocess(request, context)),
      (inputs) =>
        chain(
          context.stage("model", () => model.run(inputs, { context })),
          (outputs) => context.stage("postprocess", () => this.#processor.postprocess(outputs, request, context)),
        ),
    );
  }

  override async close(): Promise<void> {
    if (this.#own) await this.#model?.close();
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
  extends
    Omit<ServiceInfo, "name" | "input" | "output" | "request" | "response" | "model" | "loadModel">,
    Processor<CallInput<S, Q>, CallOutput<T, P>> {
  readonly name: N;
  readonly input?: S;
  readonly output?: T;
  readonly request?: Q;
  readonly response?: P;
  /** Loads the model; called once per place where it runs. */
  readonly model: ModelLoader;
}

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
>(
  options: DefineInferenceOptions<N, S, T, Q, P>,
): ServiceDefinition<N, CallInput<S, Q>, CallOutput<T, P>, WireOf<S, T, Q, P, CallInput<S, Q>, CallOutput<T, P>>> {
  const { model, ...info } = options;
  return makeDefinition({ ...info, model: true, loadModel: model }, () => new InferenceService(options, model));
}
