import { ServableError, messageOf } from "../errors.ts";

/** What to do about a connection that is refused. */
export const nobodyListens = "Nothing listens there: start the server, or check the port.";

/** The error for a connection that was not made, or broke. `what` says which, and the reason is put behind it. */
export function networkFailure(thrown: unknown, what: string, requestId?: string): ServableError {
  const reason = reasonOf(thrown);
  const advice = reason.includes("ECONNREFUSED") ? `. ${nobodyListens}` : "";
  return new ServableError("unavailable", `${what}: ${reason}${advice}`, { cause: thrown, requestId });
}

/** The deepest reason there is: fetch says only "fetch failed", and what it was lies in the cause. */
function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return messageOf(thrown);
  // A name with several addresses fails once for each of them, under a message that is empty.
  const inner: unknown = thrown.cause ?? (thrown instanceof AggregateError ? thrown.errors[0] : undefined);
  if (inner instanceof Error && inner !== thrown) return reasonOf(inner);
  return thrown.message === "" ? thrown.name : thrown.message;
}
