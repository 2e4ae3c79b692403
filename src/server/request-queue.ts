import type { Model } from "../model/model.ts";
import type { GatheredRun } from "../service/batcher.ts";
import type { CallContext } from "../service/call-context.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelRequest } from "./model-request.ts";

/** What requests to a model wait in for their turn. */
export interface RequestQueue {
  /** How many wait. */
  readonly waiting: number;
  /** Reads what it needs, before the model is loaded. @throws ServableError */
  load?(): Promise<void>;
  /** Told what the loaded model says of itself. @throws ServableError `invalid_config` where that does not go with the configuration */
  loaded?(specs: Pick<Model, "inputs" | "outputs">): void;
  /** Says what runs the requests. */
  open(run: GatheredRun<ModelRequest, NamedArrays>): void;
  /** Queues a request and runs it, with others perhaps. @throws InferenceError */
  submit(request: ModelRequest, context: CallContext): Promise<NamedArrays>;
  /** To be called when a request has left for the model, or for good. */
  left(request: ModelRequest): void;
  /** No more requests are admitted: what is here is to end. */
  drain?(): void;
  /** Everything is over. */
  close?(): void;
}
