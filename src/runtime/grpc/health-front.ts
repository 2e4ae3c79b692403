import type { Messages } from "../../protocol/grpc/packages.ts";
import { inferenceFailure } from "./failure.ts";
import type { GrpcHost } from "./host.ts";
import { unary } from "./unary.ts";

/** The standard health service: whether the server as a whole is ready; which service is asked about makes no difference. */
export function grpcHealthFront(host: GrpcHost, messages: Messages, ready: () => boolean): void {
  const { HealthCheckRequest: request, HealthCheckResponse: response } = messages.grpc.health.v1;
  const { SERVING, NOT_SERVING } = response.ServingStatus;
  host.add("grpc.health.v1.Health", {
    Check: unary({ host, request, response, failure: inferenceFailure, answer: () => ({ status: ready() ? SERVING : NOT_SERVING }) }),
  });
}
