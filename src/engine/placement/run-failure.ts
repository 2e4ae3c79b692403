import { errorCodes, ServableError } from "../../errors.ts";

/** What a run of a model failed with, wherever it ran. A code that there is not has no status on any wire. */
export function runFailure(thrown: unknown): ServableError {
  const isOurs = ServableError.isInstance(thrown) && errorCodes.includes(thrown.code);
  return isOurs ? thrown : new ServableError("service_failed", "The model failed.", { cause: thrown });
}

/** Why a run is called off of which nobody waits for the answer any more. */
export function givenUp(): ServableError {
  return new ServableError("cancelled", "Nobody waits for the answer any more.");
}
