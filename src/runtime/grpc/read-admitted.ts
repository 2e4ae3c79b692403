import { ServableError } from "../../errors.ts";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import { readInferRequest } from "../../protocol/grpc/infer-request.ts";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { InferParameters, InferRequest } from "../../protocol/inference.ts";
import type { InferAdmission } from "../model-plane.ts";
import { metadataOfCall, type UnaryCall } from "./host.ts";

/** Metadata of a call whose names a pattern matches, as parameters; undefined without a pattern. */
export function forwardedMetadata(call: Pick<UnaryCall, "metadata">, pattern: RegExp | undefined): InferParameters | undefined {
  if (pattern === undefined) return undefined;
  return Object.fromEntries(Object.entries(metadataOfCall(call)).filter(([name]) => pattern.test(name)));
}

/**
 * A request that can't be read gives its place back.
 *
 * @param forwarded - parameters that the call's metadata are
 */
export function readAdmitted(
  admission: InferAdmission,
  message: inference.ModelInferRequest,
  forwarded: InferParameters | undefined,
): InferRequest {
  try {
    const request = readInferRequest(message);
    return forwarded === undefined ? request : { ...request, parameters: { ...request.parameters, ...forwarded } };
  } catch (thrown) {
    admission.fail(
      ServableError.isInstance(thrown) ? thrown : new InferenceError("INTERNAL", "the request could not be read", { cause: thrown }),
    );
    throw thrown;
  }
}
