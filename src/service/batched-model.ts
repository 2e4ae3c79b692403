import { ServableError } from "../errors.ts";
import { singleArray, type Model, type ModelRunOptions } from "../model/model.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { Tensor } from "../tensor/tensor.ts";
import { chain } from "./chain.ts";
import { checkAnswers, checkBatch, type AnyBatcher } from "./batcher.ts";
import type { MaybePromise } from "./maybe-promise.ts";
import { firstPlace, openModel, type ModelLoader } from "./model-loader.ts";
import type { SetupContext } from "./service.ts";

/**
 * The model of a service and its batcher: put together with other requests where the engine does that, else one by one, here.
 */
export class BatchedModel<I, O> {
  readonly #batcher: AnyBatcher<I, O>;
  readonly #run: (request: I, options: ModelRunOptions) => MaybePromise<O>;
  /** Where the model was loaded here, and so is closed here. */
  readonly #own: Model | undefined;

  private constructor(
    batcher: AnyBatcher<I, O>,
    run: ((request: I, options: ModelRunOptions) => MaybePromise<O>) | undefined,
    own: Model | undefined,
  ) {
    this.#batcher = batcher;
    this.#own = own;
    this.#run = run ?? ((request, options) => this.#runAlone(request, options));
  }

  /** Takes the model that the engine has placed, or loads it here. */
  static async open<I, O>(batcher: AnyBatcher<I, O>, load: ModelLoader, context: SetupContext): Promise<BatchedModel<I, O>> {
    const gathered = context.gather?.(batcher);
    return new BatchedModel(batcher, gathered, gathered === undefined ? await openModel(load, context.place ?? firstPlace) : undefined);
  }

  /** Runs one request. */
  run(request: I, options: ModelRunOptions): MaybePromise<O> {
    return this.#run(request, options);
  }

  async close(): Promise<void> {
    await this.#own?.close();
  }

  #runAlone(request: I, options: ModelRunOptions): MaybePromise<O> {
    const batcher = this.#batcher;
    const model = this.#own;
    if (model === undefined) throw new ServableError("unavailable", "The service is closed.");
    return chain(batcher.batch([request]), (batch) => {
      checkBatch(batch);
      return chain(runArrays(model, batch, options), (outputs) =>
        chain(batcher.unbatch(outputs, [request]), (answers) => {
          checkAnswers(answers, 1);
          return answers[0] as O;
        }),
      );
    });
  }
}

/** Runs named arrays as they are, and one array on a model of one input and one output. */
function runArrays(model: Model, batch: Tensor | NamedArrays, options: ModelRunOptions): MaybePromise<Tensor | NamedArrays> {
  return batch instanceof Tensor ? singleArray(model).run(batch, options) : model.run(batch, options);
}
