import { ServableError, formatPath, type ErrorCode, type FieldIssue, type JsonValue } from "../../errors.ts";
import { httpStatus } from "./status.ts";

/** An error on the wire: problem details (RFC 9457). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly requestId?: string;
  readonly errors?: readonly { readonly path: string; readonly pointer: string; readonly detail: string }[];
  readonly [detail: string]: JsonValue | undefined;
}

/** The media type of a {@link Problem}. */
export const problemMediaType = "application/problem+json";

/** A problem names at most this many failing fields: a list of a million numbers must not answer with a million lines. */
const maxIssues = 100;

/** Codes of mishaps inside; what they say is for the operator, who finds it in the log. */
export const internalCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid_argument",
  "invalid_config",
  "load_failed",
  "address_in_use",
  "missing_dependency",
]);

/**
 * Turns an error into what the client sees; anything that is not a ServableError is `internal` and says nothing of itself.
 *
 * @param status - where it is not the one that the code stands for
 */
export function problemOf(thrown: unknown, requestId: string | undefined, status?: number): Problem {
  const error = toWireError(thrown);
  const { code, message, issues, details } = error;
  const standard = {
    // RFC 9457 section 4.2.1: there is no page to read beyond what the code says.
    type: "about:blank",
    title: titleOf(code),
    status: status ?? httpStatus[code],
    detail: message,
    code,
    ...(requestId === undefined ? {} : { requestId }),
    ...(issues.length === 0 ? {} : { errors: issues.slice(0, maxIssues).map(issueOnWire) }),
  };
  const extra = Object.entries(details).filter(([name]) => !(name in standard));
  return { ...standard, ...Object.fromEntries(extra) };
}

/** What of an error may be known outside. */
export function toWireError(thrown: unknown): ServableError {
  if (ServableError.isInstance(thrown) && !internalCodes.has(thrown.code)) return thrown;
  return new ServableError("internal", "Something went wrong in the server. Its log tells more, under this request id.", { cause: thrown });
}

function issueOnWire({ path, message }: FieldIssue): { readonly path: string; readonly pointer: string; readonly detail: string } {
  const pointer = path.map((key) => `/${encodeURIComponent(String(key).replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");
  return { path: formatPath(path), pointer: `#${pointer}`, detail: message };
}

function titleOf(code: ErrorCode): string {
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
