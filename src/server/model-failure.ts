import { ServableError } from "../errors.ts";

/** What a failed start of an engine says of the model that it was started for: that a model runs as a service is nobody's concern. */
export function modelFailure(thrown: unknown): unknown {
  if (!ServableError.isInstance(thrown)) return thrown;
  const message = thrown.message.replace(/^Service '[^']*' could not be set up: /, "");
  if (message === thrown.message) return thrown;
  return new ServableError(thrown.code, message, { details: thrown.details, cause: thrown.cause ?? thrown });
}
