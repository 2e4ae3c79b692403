import { ServableError, errorCodes, formatKey, type ErrorCode, type FieldIssue, type JsonValue } from "../errors.ts";
import { readFailureText } from "./failure-text.ts";
import { isJsonObject, parseJson } from "./json.ts";

/** What is known of a failure besides its problem document. */
export interface ProblemContext {
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

type JsonObject = { readonly [key: string]: JsonValue };

/** What a status means where no code says it: an answer of a proxy, or of a server of another make. */
const codesByStatus: Readonly<Record<number, ErrorCode>> = {
  401: "unauthenticated",
  403: "unauthenticated",
  404: "not_found",
  405: "method_not_allowed",
  406: "not_acceptable",
  408: "request_timeout",
  413: "payload_too_large",
  415: "unsupported_media_type",
  429: "overloaded",
  499: "cancelled",
  502: "unavailable",
  503: "unavailable",
  504: "deadline_exceeded",
};

const knownCodes: ReadonlySet<string> = new Set(errorCodes);

/** What the head of an answer tells of a failure. */
export function problemContext(response: Response, requestId: string | undefined): ProblemContext {
  return {
    status: response.status,
    requestId: response.headers.get("x-request-id") ?? requestId,
    retryAfterMs: readRetryAfter(response.headers.get("retry-after")),
  };
}

/** Reads an answer that is not a success into the error that it tells of. */
export async function errorFromResponse(response: Response, requestId: string | undefined): Promise<ServableError> {
  return errorFromText(response, await readFailureText(response), problemContext(response, requestId));
}

/** The same, of an answer whose body has been read. */
export function errorFromText(response: Response, text: string, context: ProblemContext): ServableError {
  const problem = parseProblem(text);
  if (problem !== undefined) return errorFromProblem(problem, context);
  const isText = /^(text\/plain|application\/json)\b/.test(response.headers.get("content-type") ?? "");
  const shown = isText && text !== "" ? `: ${text.length > 200 ? `${text.slice(0, 200)}…` : text}` : ".";
  const status = `${response.status} ${response.statusText}`.trim();
  return new ServableError(codeOfStatus(response.status), `The server answered ${status} without a problem document${shown}`, {
    ...context,
    details: { status: response.status },
  });
}

/** Turns a problem document (RFC 9457) into the error that it tells of. */
export function errorFromProblem(problem: JsonValue, context: ProblemContext = {}): ServableError {
  if (!isJsonObject(problem)) return new ServableError("internal", "The server told of a failure without a problem document.", context);
  const { type: _type, instance: _instance, title, status, detail, code, requestId, errors, ...details } = problem;
  const message = textOf(detail) ?? textOf(title) ?? "The server told of a failure without saying which.";
  // The member only repeats the status of the answer, where there is an answer of its own (RFC 9457, section 3.1.2).
  return new ServableError(codeFor(code, context.status ?? (typeof status === "number" ? status : undefined)), message, {
    issues: Array.isArray(errors) ? errors.flatMap(toFieldIssue) : [],
    details,
    retryAfterMs: context.retryAfterMs,
    requestId: textOf(requestId) ?? context.requestId,
  });
}

function parseProblem(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text);
    const isProblem = isJsonObject(value) && ["code", "title", "detail", "type"].some((member) => typeof value[member] === "string");
    return isProblem ? value : undefined;
  } catch {
    return undefined;
  }
}

function codeFor(code: JsonValue | undefined, status: number | undefined): ErrorCode {
  if (isErrorCode(code)) return code;
  return status === undefined ? "internal" : codeOfStatus(status);
}

/** What a status means where nothing else says it. */
export function codeOfStatus(status: number): ErrorCode {
  return codesByStatus[status] ?? (status >= 400 && status < 500 ? "invalid_request" : "internal");
}

function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && knownCodes.has(value);
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function toFieldIssue(entry: JsonValue): FieldIssue[] {
  if (!isJsonObject(entry)) return [];
  const message = textOf(entry.detail) ?? "is not valid";
  const pointer = entry.pointer;
  return [{ path: typeof pointer === "string" ? readPointer(pointer, textOf(entry.path)) : [], message }];
}

/**
 * Reads a JSON Pointer (RFC 6901, plain or as a URI fragment). It writes an index and a key of digits alike: which one it is shows
 * in the path beside it, and where there is none it is taken for an index.
 */
function readPointer(pointer: string, writtenPath: string | undefined): FieldIssue["path"] {
  const plain = pointer.startsWith("#") ? decodeFragment(pointer.slice(1)) : pointer;
  const path: (string | number)[] = [];
  // How much of the written path the keys so far are; undefined where they are something else. It is compared key by key: a path may have as many as a
  // server likes.
  let written: number | undefined = 0;
  for (const escaped of plain.split("/").slice(1)) {
    const key = escaped.replaceAll("~1", "/").replaceAll("~0", "~");
    const index = /^(0|[1-9]\d*)$/.test(key) ? Number(key) : undefined;
    const follows = (next: string | number): boolean =>
      written !== undefined && writtenPath?.startsWith(formatKey(next, path.length === 0), written) === true;
    const next = index !== undefined && (writtenPath === undefined || follows(index)) ? index : key;
    written = written !== undefined && follows(next) ? written + formatKey(next, path.length === 0).length : undefined;
    path.push(next);
  }
  return path;
}

function decodeFragment(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** Reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date. */
function readRetryAfter(header: string | null): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
