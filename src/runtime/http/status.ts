import type { ErrorCode } from "../../errors.ts";

/** The HTTP status of each error code: the one table of this edge. */
export const httpStatus: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  unauthenticated: 401,
  not_found: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  request_timeout: 408,
  payload_too_large: 413,
  unsupported_media_type: 415,
  // Nginx's number for a client that closed the request; nobody is there to read it, but logs are.
  cancelled: 499,
  service_failed: 500,
  invalid_output: 500,
  serialization_failed: 500,
  worker_crashed: 500,
  internal: 500,
  invalid_argument: 500,
  invalid_config: 500,
  load_failed: 500,
  address_in_use: 500,
  missing_dependency: 500,
  unsupported: 501,
  overloaded: 503,
  not_ready: 503,
  unavailable: 503,
  deadline_exceeded: 504,
};
