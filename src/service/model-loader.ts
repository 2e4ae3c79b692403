import type { Model } from "../model/model.ts";
import type { Logger } from "./logger.ts";
import type { MaybePromise } from "./maybe-promise.ts";

/** Where a model is to run. */
export interface ModelPlace {
  /** Which of the service's workers it is, from 0 on; 0 where there are none. */
  readonly worker: number;
  /** The device of that worker, one of `policy.devices`; undefined where the policy names none. */
  readonly device: number | undefined;
  /** Writes to the engine's log; undefined where no engine places the model. */
  readonly log?: Logger | undefined;
}

/** Loads a model where it is to run. */
export type ModelLoader = (place: ModelPlace) => MaybePromise<Model>;

/** The place of a model that is loaded where it is asked for: a bare call, or a service without workers. */
export const firstPlace: ModelPlace = Object.freeze({ worker: 0, device: undefined });
