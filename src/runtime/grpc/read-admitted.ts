import { ServableError } from "../../errors.ts";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import { readInferRequest } from "../../protocol/grpc/infer-request.ts";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { InferRequest } from "../../protocol/inference.ts";
import type { InferAdmission } from "../model-plane.ts";

/** A request that can't be read gives its place back. */
export function readAdmitted(admission: InferAdmission, message: inference.ModelInferRequest): InferRequest {
  try {
    return readInferRequest(message);
  } catch (thrown) {
    admission.fail(
      ServableError.isInstance(thrown) ? thrown : new InferenceError("INTERNAL", "the request could not be read", { cause: thrown }),
    );
    throw thrown;
  }
}
