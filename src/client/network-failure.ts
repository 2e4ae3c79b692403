import { ServableError, messageOf } from "../errors.ts";

/** The error for a connection that was not made, or broke. `what` says which, and the reason is put behind it. */
export function networkFailure(thrown: unknown, what: string, requestId?: string): ServableError {
  return new ServableError("unavailable", `${what}: ${reasonOf(thrown)}`, { cause: thrown, requestId });
}

/** The deepest reason there is: fetch says only "fetch failed", and what it was lies in the cause. */
function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return messageOf(thrown);
  // A name with several addresses fails once for each of them, under a message that is empty.
  const inner: unknown = thrown.cause ?? (thrown instanceof AggregateError ? thrown.errors[0] : undefined);
  if (inner instanceof Error && inner !== thrown) return reasonOf(inner);
  return thrown.message === "" ? thrown.name : thrown.message;
}
