import { ServableError } from "../../../errors.ts";
import { wholeText } from "../../../protocol/http/read-text.ts";
import { InferenceError, statusOf, type InferenceStatus } from "../../../protocol/inference-error.ts";

/** The HTTP status of each of Triton's: the one table of this edge. */
const httpStatuses: Readonly<Record<InferenceStatus, number>> = {
  UNKNOWN: 400,
  INVALID_ARG: 400,
  ALREADY_EXISTS: 400,
  CANCELLED: 400,
  NOT_FOUND: 404,
  INTERNAL: 500,
  UNSUPPORTED: 501,
  UNAVAILABLE: 503,
};

/** A failure of one of the routes that no status of Triton's stands for. */
export class RouteFailure extends Error {
  readonly httpStatus: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(httpStatus: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "RouteFailure";
    this.httpStatus = httpStatus;
    this.headers = headers;
  }
}

/** The HTTP status of a failure. */
export function httpStatusOf(thrown: unknown): number {
  if (thrown instanceof RouteFailure) return thrown.httpStatus;
  // Triton knows nobody by name.
  if (ServableError.isInstance(thrown) && thrown.code === "unauthenticated") return 401;
  return httpStatuses[statusOf(thrown)];
}

/** The headers that a failure asks for. */
export function failureHeaders(thrown: unknown): Readonly<Record<string, string>> {
  if (thrown instanceof RouteFailure) return thrown.headers;
  if (!ServableError.isInstance(thrown)) return {};
  if (thrown.code === "unauthenticated") return { "www-authenticate": "Bearer" };
  return thrown.retryAfterMs === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(thrown.retryAfterMs / 1_000))) };
}

/** What clients read of a failure: tritonclient parses just this one member. Names in it may have been bytes that are not UTF-8. */
export function failureBody(thrown: unknown): string {
  return JSON.stringify({ error: wholeText(failureText(thrown)) });
}

/** Nothing of what was not meant for a client gets there. */
function failureText(thrown: unknown): string {
  if (thrown instanceof RouteFailure || ServableError.isInstance(thrown)) return thrown.message;
  return "Something went wrong in the server. Its log tells more.";
}

/** Whether a failure was not foreseen: its log line is all there is to find out why. */
export function isUnforeseen(thrown: unknown): boolean {
  return !(thrown instanceof RouteFailure) && !ServableError.isInstance(thrown);
}

/** A value of the wrong kind in JSON, in the words of Triton's JSON reader. */
export function wrongKind(expected: string): InferenceError {
  return new InferenceError("INTERNAL", `attempt to access JSON non-${expected} as ${expected}`);
}
