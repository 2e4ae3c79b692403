/** Triton: the configurations of its models, the layout of its repositories, `tritonserver` as a runtime, and models that run in one. */
export { ServableError, type ErrorCode, type FieldIssue, type JsonValue, type ServableErrorOptions } from "./errors.ts";
export { makeTritonConfiguration, type TritonConfigurationOptions } from "./artifact/make-triton-configuration.ts";
export type { ArtifactModel } from "./artifact/repository-files.ts";
export { RunnableTritonConfig } from "./artifact/runnable-triton-config.ts";
export { tritonConfigOnnxModel, type OnnxModelConfigOptions } from "./server/inspect/onnx-config.ts";
export { localTriton, type LocalTriton, type LocalTritonOptions } from "./client/triton/local-triton.ts";
export { SpecsTritonModel } from "./client/triton/specs-triton-model.ts";
export { TritonModel, type ConnectOptions, type TritonModelOptions, type TritonModelParts } from "./client/triton/triton-model.ts";
export type { InferenceClient } from "./client/open-inference/inference-client.ts";
export type { EngineLogger } from "./engine/observer.ts";
export type { Model, ModelCaller, ModelRunOptions, TensorSpec } from "./model/model.ts";
export type { Runtime } from "./runtime/runtime.ts";
export type { TritonModelServerOptions, TritonPorts } from "./runtime/triton/options.ts";
export type { ModelReplication } from "./runtime/triton/replication.ts";
export { TritonModelServer, type TritonServerStatus } from "./runtime/triton/triton-model-server.ts";
export type { ArchiveLimits } from "./storage/archive/limits.ts";
export type { ArchiveFormat } from "./storage/archive/pack.ts";
export { downloadArtifact, type ArtifactProgress, type DownloadedArtifact, type DownloadOptions } from "./storage/download.ts";
export type { HttpStorageOptions } from "./storage/http-storage.ts";
export { openStorage, type StorageOptions } from "./storage/open-storage.ts";
export type { S3StorageOptions } from "./storage/s3-options.ts";
export { bytesSource, fileSource } from "./storage/sources.ts";
export type { ArtifactSource, ReadOptions, Storage, StoredContent, WriteOptions } from "./storage/storage.ts";
export type { UploadProgress } from "./storage/upload.ts";
export type { DataType, TensorData, TensorElement } from "./tensor/data-type.ts";
export type { NamedArrays, NamedShapes } from "./tensor/named-arrays.ts";
export type { NestedArray } from "./tensor/nested.ts";
export { Tensor } from "./tensor/tensor.ts";
export type { ConfigTensor } from "./triton/config-tensors.ts";
export { modelConfigFromJson } from "./triton/config-from-json.ts";
export { modelConfigToJson } from "./triton/config-to-json.ts";
export { dataTypeOfTriton, tritonTypeOf } from "./triton/data-types.ts";
export {
  tritonConfigPytorchModel,
  tritonConfigTensorflowModel,
  type PytorchModelOptions,
  type TensorflowModelOptions,
} from "./triton/framework-configs.ts";
export type {
  BatchInput,
  BatchOutput,
  Int64,
  ModelConfig,
  ModelDynamicBatching,
  ModelEnsembling,
  ModelEnsemblingStep,
  ModelInput,
  ModelInstanceGroup,
  ModelOutput,
  ModelQueuePolicy,
  ModelRateLimiter,
  ModelSequenceBatching,
  ModelSequenceControl,
  ModelSequenceState,
  ModelTensorReshape,
  ModelVersionPolicy,
  ModelWarmup,
  ModelWarmupInput,
  TensorFormat,
  TritonDataType,
} from "./triton/model-config.ts";
export type { CudaGraphSpec, ModelOptimizationPolicy, NamedParameters } from "./triton/optimization-config.ts";
export { parseModelConfig } from "./triton/parse-pbtxt.ts";
export { readLabels } from "./triton/repository/labels.ts";
export { findModelFile, listModels, readModelFolder, readVersionFolder, type ModelFolder } from "./triton/repository/model-folder.ts";
export { selectVersions, type VersionSelection } from "./triton/repository/versions.ts";
export { completeModelConfig, type Completed, type CompleteOptions } from "./triton/rules/complete.ts";
export { withConfigDefaults } from "./triton/rules/defaults.ts";
export type { ModelTensor, ModelTensors } from "./triton/rules/model-tensors.ts";
export type { ConfigFacts, ConfigProblem } from "./triton/rules/problem.ts";
export { validateModelConfig } from "./triton/rules/validate.ts";
export { tritonFormat, type PlainArray, type PlainArrays, type TritonFormat } from "./triton/triton-format.ts";
export { TritonModelConfig, type TritonModelConfigOptions } from "./triton/triton-model-config.ts";
export { EnrichedTensor, ToProtobufText, TritonTensor, type TensorDataType } from "./triton/triton-tensor.ts";
export { writeModelConfig } from "./triton/write-pbtxt.ts";
