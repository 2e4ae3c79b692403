import { ServableError, type ErrorCode, type ServableErrorOptions } from "../errors.ts";

/** The statuses that a Triton server gives, by its own names; each wire has a number of its own for them. */
export type InferenceStatus =
  "UNKNOWN" | "INTERNAL" | "NOT_FOUND" | "INVALID_ARG" | "UNAVAILABLE" | "UNSUPPORTED" | "ALREADY_EXISTS" | "CANCELLED";

const codes: Readonly<Record<InferenceStatus, ErrorCode>> = {
  UNKNOWN: "internal",
  INTERNAL: "internal",
  NOT_FOUND: "not_found",
  INVALID_ARG: "invalid_request",
  UNAVAILABLE: "unavailable",
  UNSUPPORTED: "unsupported",
  ALREADY_EXISTS: "invalid_request",
  CANCELLED: "cancelled",
};

const statuses: Partial<Record<ErrorCode, InferenceStatus>> = {
  invalid_request: "INVALID_ARG",
  invalid_argument: "INVALID_ARG",
  payload_too_large: "INVALID_ARG",
  unauthenticated: "UNAVAILABLE",
  not_found: "NOT_FOUND",
  unsupported: "UNSUPPORTED",
  cancelled: "CANCELLED",
  overloaded: "UNAVAILABLE",
  not_ready: "UNAVAILABLE",
  unavailable: "UNAVAILABLE",
  deadline_exceeded: "UNAVAILABLE",
  request_timeout: "UNAVAILABLE",
  worker_crashed: "UNAVAILABLE",
};

/**
 * A failure with the status that the contract of the Open Inference Protocol (as Triton keeps it) asks for. Its message is what clients
 * of Triton know, to the letter.
 */
export class InferenceError extends ServableError {
  readonly status: InferenceStatus;

  constructor(status: InferenceStatus, message: string, options?: ServableErrorOptions) {
    super(codes[status], message, options);
    this.name = "InferenceError";
    this.status = status;
  }
}

/** The status of any failure: its own, or what its code comes nearest to. */
export function statusOf(error: unknown): InferenceStatus {
  if (error instanceof InferenceError) return error.status;
  return (ServableError.isInstance(error) ? statuses[error.code] : undefined) ?? "INTERNAL";
}
