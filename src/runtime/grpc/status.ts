import type { ErrorCode } from "../../errors.ts";
import type { InferenceStatus } from "../../protocol/inference-error.ts";

/** The numbers of gRPC's statuses, by their names: those of grpc-js, which is not loaded before it is needed. */
export const grpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** The gRPC status of each error code: the one table of this edge. */
export const grpcCode: Readonly<Record<ErrorCode, number>> = {
  invalid_request: grpcStatus.INVALID_ARGUMENT,
  unauthenticated: grpcStatus.UNAUTHENTICATED,
  not_found: grpcStatus.NOT_FOUND,
  method_not_allowed: grpcStatus.UNIMPLEMENTED,
  not_acceptable: grpcStatus.INVALID_ARGUMENT,
  request_timeout: grpcStatus.DEADLINE_EXCEEDED,
  payload_too_large: grpcStatus.RESOURCE_EXHAUSTED,
  unsupported_media_type: grpcStatus.INVALID_ARGUMENT,
  cancelled: grpcStatus.CANCELLED,
  service_failed: grpcStatus.UNKNOWN,
  invalid_output: grpcStatus.INTERNAL,
  serialization_failed: grpcStatus.INTERNAL,
  worker_crashed: grpcStatus.INTERNAL,
  internal: grpcStatus.INTERNAL,
  invalid_argument: grpcStatus.INTERNAL,
  invalid_config: grpcStatus.INTERNAL,
  load_failed: grpcStatus.INTERNAL,
  address_in_use: grpcStatus.INTERNAL,
  missing_dependency: grpcStatus.INTERNAL,
  unsupported: grpcStatus.UNIMPLEMENTED,
  overloaded: grpcStatus.UNAVAILABLE,
  not_ready: grpcStatus.UNAVAILABLE,
  unavailable: grpcStatus.UNAVAILABLE,
  deadline_exceeded: grpcStatus.DEADLINE_EXCEEDED,
};

/** The gRPC status of each status of the Open Inference Protocol: the one table of that edge. */
export const inferenceCode: Readonly<Record<InferenceStatus, number>> = {
  UNKNOWN: grpcStatus.UNKNOWN,
  INTERNAL: grpcStatus.INTERNAL,
  NOT_FOUND: grpcStatus.NOT_FOUND,
  INVALID_ARG: grpcStatus.INVALID_ARGUMENT,
  UNAVAILABLE: grpcStatus.UNAVAILABLE,
  UNSUPPORTED: grpcStatus.UNIMPLEMENTED,
  ALREADY_EXISTS: grpcStatus.ALREADY_EXISTS,
  CANCELLED: grpcStatus.CANCELLED,
};
