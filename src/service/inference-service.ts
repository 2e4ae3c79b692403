import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { checkArrays } from "../model/check-outputs.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { namedArraysBatcher } from "./array-batchers.ts";
import { BatchedModel } from "./batched-model.ts";
import type { Batcher } from "./batcher.ts";
import { checkFunctions, checkInfoKeys } from "./check-options.ts";
import { makeDefinition } from "./define-service.ts";
import { callContextOf } from "./call-context.ts";
import { isThenable } from "./chain.ts";
import type { CallInput, CallOutput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption } from "./inference.ts";
import type { ModelLoader } from "./model-loader.ts";
import { askPriority, priorityOf, type ModelServiceDefinition, type ModelServiceInfo, type ModelServiceOptions } from "./model-service.ts";
import type { Processor } from "./processor.ts";
import { Service, type MaybePromise, type ServiceContext, type SetupContext } from "./service.ts";

/** How an {@link InferenceService} runs its model. */
export interface InferenceOptions<I> extends ModelServiceOptions<I> {
  /** How the model's inputs of several requests are put together. @default {@link namedArraysBatcher} */
  readonly batcher?: Batcher<NamedArrays, NamedArrays> | undefined;
}

const keys = { batcher: true, priority: true } satisfies KeysOf<InferenceOptions<unknown>>;

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

  /** @throws ServableError `invalid_config` */
  constructor(processor: Processor<I, O>, loadModel: ModelLoader, options: InferenceOptions<I> = {}) {
    super();
    refuseUnknownKeys(options, keys, "InferenceService");
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
    const priority = askPriority(this.#options, request, context);
    return new InferenceCall(this.#processor, model, request, context, priority).run();
  }

  override async close(): Promise<void> {
    await this.#model?.close();
    this.#model = undefined;
  }
}

/**
 * One call on its way through preprocessing, model and postprocessing. Written out instead of closures handed to one another: a stage that
 * answers at once goes on with the next one, and only the model's promise costs one.
 */
class InferenceCall<I, O> {
  readonly #processor: Processor<I, O>;
  readonly #model: BatchedModel<NamedArrays, NamedArrays>;
  readonly #request: I;
  readonly #context: ServiceContext;
  readonly #priority: number | undefined;
  #stage = "preprocess";
  #since = 0;

  constructor(
    processor: Processor<I, O>,
    model: BatchedModel<NamedArrays, NamedArrays>,
    request: I,
    context: ServiceContext,
    priority: number | undefined,
  ) {
    this.#processor = processor;
    this.#model = model;
    this.#request = request;
    this.#context = context;
    this.#priority = priority;
  }

  run(): MaybePromise<O> {
    this.#since = performance.now();
    let inputs: MaybePromise<NamedArrays>;
    try {
      inputs = this.#processor.preprocess(this.#request, this.#context);
    } catch (thrown) {
      return this.#fail(thrown);
    }
    if (!isThenable(inputs)) return this.#infer(inputs);
    return Promise.resolve(inputs).then(
      (settled) => this.#infer(settled),
      (thrown: unknown) => this.#fail(thrown),
    );
  }

  #infer(inputs: unknown): MaybePromise<O> {
    this.#begin("model");
    let outputs: MaybePromise<NamedArrays>;
    try {
      checkArrays("`preprocess`", inputs);
      outputs = this.#model.run(inputs, { context: this.#context, priority: this.#priority });
    } catch (thrown) {
      return this.#fail(thrown);
    }
    if (!isThenable(outputs)) return this.#answer(outputs);
    return Promise.resolve(outputs).then(
      (settled) => this.#answer(settled),
      (thrown: unknown) => this.#fail(thrown),
    );
  }

  #answer(outputs: NamedArrays): MaybePromise<O> {
    this.#begin("postprocess");
    let answer: MaybePromise<O>;
    try {
      answer = this.#processor.postprocess(outputs, this.#request, this.#context);
    } catch (thrown) {
      return this.#fail(thrown);
    }
    if (!isThenable(answer)) {
      this.#record();
      return answer;
    }
    return Promise.resolve(answer).then(
      (settled) => {
        this.#record();
        return settled;
      },
      (thrown: unknown) => this.#fail(thrown),
    );
  }

  #begin(stage: string): void {
    this.#since = this.#record();
    this.#stage = stage;
  }

  /** A context of somebody else's making keeps no times. */
  #record(): number {
    return callContextOf(this.#context)?.record(this.#stage, this.#since) ?? 0;
  }

  #fail(thrown: unknown): never {
    this.#record();
    throw thrown;
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
 *   preprocess: ({ features }) => ({ features: new Tensor("FP32", [1, 64], new Float32Array(features)) }),
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
  checkInfoKeys(options, ["preprocess", "postprocess", "batcher", "priority"]);
  checkFunctions(options, ["model", "preprocess", "postprocess"], ["priority"]);
  const { model, ...info } = options;
  return makeDefinition(
    { ...info, model: true, loadModel: model },
    () => new InferenceService(options, model, { ...priorityOf(options), batcher: options.batcher }),
  );
}
