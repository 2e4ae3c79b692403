import { errorCodes, ServableError, messageOf, type ErrorCode } from "../../errors.ts";
import { nobodyListens } from "../network-failure.ts";
import { turnedAwayCode } from "../open-inference/failure.ts";

/** What each of gRPC's statuses means here; all others are `internal`. */
const codes: Readonly<Record<number, ErrorCode>> = {
  1: "cancelled",
  2: "service_failed",
  3: "invalid_request",
  4: "deadline_exceeded",
  5: "not_found",
  6: "invalid_request",
  7: "unauthenticated",
  8: "payload_too_large",
  9: "invalid_request",
  10: "unavailable",
  11: "invalid_request",
  12: "unsupported",
  14: "unavailable",
  16: "unauthenticated",
};

const unavailable = 14;

/** A call's end that is none as an error, with the server's own words. */
export function grpcFailure(thrown: unknown, origin: string, requestId: string | undefined): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  if (!isServiceError(thrown))
    return new ServableError("internal", `The call to ${origin} failed: ${reasonOf(thrown)}`, { requestId, cause: thrown });
  const { code: status, details } = thrown;
  const own = errorCodes.find((code) => code === String(thrown.metadata?.get("servable-code")[0]));
  const code = own ?? (status === unavailable ? turnedAwayCode(details) : undefined) ?? codes[status] ?? "internal";
  const isNobody = status === unavailable && details.includes("ECONNREFUSED");
  const unreached = `Could not reach ${origin}: ${details}. ${nobodyListens}`;
  const message = isNobody
    ? unreached
    : details === ""
      ? `${origin} ended the call with the gRPC status ${status}, and did not say why.`
      : details;
  return new ServableError(code, message, { requestId, cause: thrown, details: { status } });
}

/** grpc-js makes an error without any word of its own out of a message that it can't unpack. */
function reasonOf(thrown: unknown): string {
  const isWordless = thrown instanceof Error && "code" in thrown && thrown.code === undefined;
  return isWordless ? "its answer is compressed in a way that is not known here." : messageOf(thrown);
}

/** A failure that came as a reply of a stream, which tells no status. */
export function streamedFailure(text: string, requestId: string | undefined): ServableError {
  return new ServableError(turnedAwayCode(text) ?? (/unknown model|is not found/.test(text) ? "not_found" : "invalid_request"), text, {
    requestId,
  });
}

interface StatusError extends Error {
  readonly code: number;
  readonly details: string;
  readonly metadata?: { get(name: string): readonly unknown[] } | undefined;
}

function isServiceError(thrown: unknown): thrown is StatusError {
  return (
    thrown instanceof Error &&
    "code" in thrown &&
    typeof thrown.code === "number" &&
    "details" in thrown &&
    typeof thrown.details === "string"
  );
}
