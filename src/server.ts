/**
 * A model server over folders laid out as Triton model repositories, with onnxruntime-node inside.
 *
 * @module
 */
export { ModelRepositoryServer } from "./server/model-repository-server.ts";
export {
  defineModel,
  type InputArrays,
  type InputDeclaration,
  type InputDeclarations,
  type InstancePlace,
  type ModelContext,
  type OutputArrays,
  type OutputDeclaration,
  type OutputDeclarations,
  type RequestFacts,
  type TensorLike,
  type TypeScriptModel,
} from "./server/backend/typescript.ts";
export type { ModelControlMode, ModelRepositoryOptions } from "./server/options.ts";
export type { RateLimitResource } from "./server/rate-limiter.ts";
export type { ModelReport } from "./server/model-report.ts";
export type { FailureReason } from "./server/statistics.ts";
export type { InferAdmission, InferCaller, LoadOverrides, ModelPlane, ServedModel, Settings } from "./runtime/model-plane.ts";
export type {
  InferInput,
  InferOutput,
  InferParameter,
  InferParameters,
  InferRequest,
  InferResponse,
  RequestedOutput,
} from "./protocol/inference.ts";
export { InferenceError, type InferenceStatus } from "./protocol/inference-error.ts";
