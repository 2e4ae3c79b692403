/** Typed clients of services, and of servers that speak the Open Inference Protocol: runs in Node, browsers and workers. */
export { createClient } from "./client/create-client.ts";
export type { BatchResult, Client, DynamicMethod, StreamMethod, UnaryMethod } from "./client/client-types.ts";
export { OpenInferenceClient } from "./client/open-inference/open-inference-client.ts";
export type { Compression } from "./client/open-inference/bodies.ts";
export type { GenerateResult } from "./client/open-inference/generate-stream.ts";
export type {
  InferenceClient,
  InferOptions,
  InferResult,
  LoadOptions,
  IndexOptions,
  UnloadOptions,
  ModelCallOptions,
  SequenceOptions,
} from "./client/open-inference/inference-client.ts";
export type {
  AnyModels,
  ClassifiedOutputs,
  ModelInput,
  ModelInputs,
  ModelMap,
  ModelOutput,
  ModelOutputs,
  ModelTypes,
  OutputName,
  RankedTensor,
  TensorInput,
  TensorType,
} from "./client/open-inference/model-types.ts";
export type { OpenInferenceClientOptions } from "./client/open-inference/options.ts";
export { rankedTensor } from "./client/open-inference/tensors.ts";
export { modelTypes, type ModelTypesSource } from "./client/open-inference/write-model-types.ts";
export type { CallOptions, ClientOptions, Fetch } from "./client/options.ts";
export { ServableError, type ErrorCode, type FieldIssue, type JsonValue, type ServableErrorOptions } from "./errors.ts";
export type { InferParameter, InferParameters } from "./protocol/inference.ts";
export type {
  InferBatchStatistics,
  InferResponseStatistics,
  InferStatistics,
  ModelMetadata,
  ModelState,
  ModelStatistics,
  RepositoryIndexEntry,
  ServerMetadata,
  StatisticDuration,
  TensorMetadata,
} from "./protocol/model-info.ts";
export type { DataType, FixedDataType, TensorData, TensorElement } from "./tensor/data-type.ts";
export { bf16ToFp32, bf16ToNumber, fp16ToFp32, fp16ToNumber, fp32ToBf16, fp32ToFp16, numberToBf16, numberToFp16 } from "./tensor/half.ts";
export { Tensor, tensor } from "./tensor/tensor.ts";
