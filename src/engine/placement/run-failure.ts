import { ServableError } from "../../errors.ts";

/** What a run of a model failed with, wherever it ran. */
export function runFailure(thrown: unknown): ServableError {
  return ServableError.isInstance(thrown) ? thrown : new ServableError("service_failed", "The model failed.", { cause: thrown });
}

/** Why a run is called off of which nobody waits for the answer any more. */
export function givenUp(): ServableError {
  return new ServableError("cancelled", "Nobody waits for the answer any more.");
}
