/**
 * The one error class of this project and its closed set of codes. A code says what went wrong by meaning; the numbers
 * that a wire gives it (an HTTP status, a gRPC code) live in one table at that wire's edge. `docs/errors.md` lists them all.
 */

/** Every code there is, each named by its meaning. */
export const errorCodes = [
  "invalid_request",
  "unauthenticated",
  "not_found",
  "method_not_allowed",
  "not_acceptable",
  "request_timeout",
  "payload_too_large",
  "unsupported_media_type",
  "cancelled",
  "service_failed",
  "invalid_output",
  "serialization_failed",
  "worker_crashed",
  "internal",
  "overloaded",
  "not_ready",
  "deadline_exceeded",
  "unavailable",
  "unsupported",
  "invalid_argument",
  "invalid_config",
  "load_failed",
  "address_in_use",
  "missing_dependency",
] as const;

/** One of {@link errorCodes}. */
export type ErrorCode = (typeof errorCodes)[number];

/** One thing that is wrong with one field. */
export interface FieldIssue {
  /** Keys and indices from the root of the value to the field; empty for the value itself. */
  readonly path: readonly (string | number)[];
  /** What is wrong with the field, for a person. */
  readonly message: string;
}

/** A value that survives JSON unchanged. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What a {@link ServableError} can carry besides its code and message. */
export interface ServableErrorOptions {
  /** The fields that are wrong. */
  readonly issues?: readonly FieldIssue[] | undefined;
  /** Facts that help the caller to mend the call, such as the media types that are taken. Reaches the client: no secrets, no paths. */
  readonly details?: Readonly<Record<string, JsonValue>> | undefined;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs?: number | undefined;
  /** The request that failed. */
  readonly requestId?: string | undefined;
  /** The stage of the request that failed. */
  readonly stage?: string | undefined;
  /** What was thrown underneath. It is logged and never leaves the process. */
  readonly cause?: unknown;
}

const marker = Symbol.for("servable.error");

/**
 * What every part of servable throws. The message says what was wrong, where, and what to do; it may be shown to a client.
 *
 * @example
 * ```ts
 * import { ServableError } from "servable";
 *
 * throw new ServableError("not_found", "No voice is named 'ada'. List them with GET /voices.");
 * ```
 */
export class ServableError extends Error {
  /** What went wrong, by meaning. */
  readonly code: ErrorCode;
  /** The fields that are wrong; empty where the failure is not about fields. */
  readonly issues: readonly FieldIssue[];
  /** Facts that help the caller to mend the call. */
  readonly details: Readonly<Record<string, JsonValue>>;
  /** When trying again makes sense, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** The request that failed, where it is known. */
  readonly requestId: string | undefined;
  /** The stage of the request that failed, for the log. */
  readonly stage: string | undefined;

  constructor(code: ErrorCode, message: string, options: ServableErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ServableError";
    this.code = code;
    // Plain JavaScript can give anything here. What can't be told is left out, since the error is to reach its client all the same.
    this.issues = areIssues(options.issues) ? options.issues : [];
    this.details = plainDetails(options.details);
    this.retryAfterMs = Number.isFinite(options.retryAfterMs) ? options.retryAfterMs : undefined;
    this.requestId = textOrNothing(options.requestId);
    this.stage = textOrNothing(options.stage);
    Object.defineProperty(this, marker, { value: true });
  }

  /** Whether a value is a ServableError, also one of another installed copy of this package, where `instanceof` fails. */
  static isInstance(value: unknown): value is ServableError {
    try {
      return typeof value === "object" && value !== null && marker in value && "code" in value && typeof value.code === "string";
    } catch {
      // A Proxy can throw at any question.
      return false;
    }
  }
}

function areIssues(issues: unknown): issues is readonly FieldIssue[] {
  return Array.isArray(issues) && issues.every(isIssue);
}

function isIssue(issue: Partial<FieldIssue> | null): boolean {
  return typeof issue?.message === "string" && Array.isArray(issue.path) && issue.path.every(isKey);
}

function isKey(key: unknown): boolean {
  return typeof key === "string" || typeof key === "number";
}

/** A copy as JSON has it, which every wire and every thread can be told. */
function plainDetails(details: ServableErrorOptions["details"]): ServableError["details"] {
  if (details === undefined) return {};
  try {
    const plain = JSON.parse(JSON.stringify(details)) as ServableError["details"] | null;
    return typeof plain === "object" && !Array.isArray(plain) ? (plain ?? {}) : {};
  } catch {
    return {};
  }
}

function textOrNothing(text: unknown): string | undefined {
  return typeof text === "string" ? text : undefined;
}

/** Writes a field's path the way TypeScript would: `items[0].x`; the value itself is `(the value)`. */
export function formatPath(path: FieldIssue["path"]): string {
  if (path.length === 0) return "(the value)";
  return path.map((key, index) => formatKey(key, index === 0)).join("");
}

/** Writes one key of a path. @internal */
export function formatKey(key: string | number, isFirst: boolean): string {
  if (typeof key === "number") return `[${key}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `[${JSON.stringify(key)}]`;
  return isFirst ? key : `.${key}`;
}

/** Text for whatever was thrown, an Error or not. Never throws, whatever getters say. */
export function messageOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  try {
    // Nothing keeps a message from being set to an object, such as the body of an answer.
    if (thrown instanceof Error) return typeof thrown.message === "string" ? thrown.message : messageOf(thrown.message);
    // Its declared type hides that undefined, functions and symbols give undefined.
    const text = JSON.stringify(thrown) as string | undefined;
    return text ?? String(thrown);
  } catch {
    return `(${typeof thrown} that can't be told)`;
  }
}

/** A ServableError as plain data: what crosses from a worker to the thread that asked. */
export interface ErrorData extends Omit<ServableErrorOptions, "cause"> {
  readonly code: ErrorCode;
  readonly message: string;
  /** Name, message and stack of what was thrown underneath, for the log of the receiving side. */
  readonly cause?: string | undefined;
}

/** Turns an error into plain data. */
export function errorToData(error: ServableError): ErrorData {
  const { code, message, issues, details, retryAfterMs, requestId, stage, cause } = error;
  return { code, message, issues, details, retryAfterMs, requestId, stage, cause: cause === undefined ? undefined : causeText(cause) };
}

/** Turns plain data back into an error. */
export function errorFromData(data: ErrorData): ServableError {
  return new ServableError(data.code, data.message, data);
}

/** What the log says of a cause: its stack where it has one. Never throws. */
export function causeText(cause: unknown): string {
  try {
    if (!(cause instanceof Error)) return messageOf(cause);
    return typeof cause.stack === "string" ? cause.stack : `${cause.name}: ${messageOf(cause)}`;
  } catch {
    return messageOf(cause);
  }
}
