import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { MaybePromise, ServiceContext } from "./service.ts";

/** What stands around a model: from a request to the model's inputs, and from its outputs to an answer. */
export interface Processor<I, O> {
  /** Makes the model's inputs. To be batched, each has its rows along axis 0, the same number in all. */
  preprocess(request: I, context: ServiceContext): MaybePromise<NamedArrays>;
  /** Makes the answer out of the model's outputs: the rows that belong to this request. */
  postprocess(outputs: NamedArrays, request: I, context: ServiceContext): MaybePromise<O>;
}
