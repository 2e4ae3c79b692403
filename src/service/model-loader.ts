import { ServableError } from "../errors.ts";
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

/**
 * Loads a model, and looks whether it is one.
 *
 * @throws ServableError `load_failed` where the loader gave something else; or what it throws
 */
export async function openModel(load: ModelLoader, place: ModelPlace): Promise<Model> {
  const loaded: unknown = await load(place);
  const model = (loaded ?? {}) as Partial<Readonly<Record<keyof Model, unknown>>>;
  const missing = [
    ...(["inputs", "outputs"] as const).filter((side) => !Array.isArray(model[side])),
    ...(["run", "close"] as const).filter((method) => typeof model[method] !== "function"),
  ];
  if (missing.length === 0) return loaded as Model;
  throw new ServableError(
    "load_failed",
    `its loader must give a model, with the lists inputs and outputs and the methods run and close; what it gave lacks ${missing.join(", ")}.`,
  );
}

/** The place of a model that is loaded where it is asked for: a bare call, or a service without workers. */
export const firstPlace: ModelPlace = Object.freeze({ worker: 0, device: undefined });
