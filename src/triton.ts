/** Triton: the configurations of its models, and the layout of its repositories. */
export { ServableError, type ErrorCode, type FieldIssue, type JsonValue, type ServableErrorOptions } from "./errors.ts";
export type { DataType } from "./tensor/data-type.ts";
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
  CudaGraphSpec,
  Int64,
  ModelConfig,
  ModelDynamicBatching,
  ModelEnsembling,
  ModelEnsemblingStep,
  ModelInput,
  ModelInstanceGroup,
  ModelOptimizationPolicy,
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
  NamedParameters,
  TensorFormat,
  TritonDataType,
} from "./triton/model-config.ts";
export { parseModelConfig } from "./triton/parse-pbtxt.ts";
export { readLabels } from "./triton/repository/labels.ts";
export { findModelFile, listModels, readModelFolder, readVersionFolder, type ModelFolder } from "./triton/repository/model-folder.ts";
export { selectVersions, type VersionSelection } from "./triton/repository/versions.ts";
export { completeModelConfig, type Completed, type CompleteOptions } from "./triton/rules/complete.ts";
export { withConfigDefaults } from "./triton/rules/defaults.ts";
export type { ModelTensor, ModelTensors } from "./triton/rules/model-tensors.ts";
export type { ConfigFacts, ConfigProblem } from "./triton/rules/problem.ts";
export { validateModelConfig } from "./triton/rules/validate.ts";
export { TritonModelConfig, type TritonModelConfigOptions } from "./triton/triton-model-config.ts";
export { EnrichedTensor, ToProtobufText, TritonTensor, type TensorDataType } from "./triton/triton-tensor.ts";
export { writeModelConfig } from "./triton/write-pbtxt.ts";
