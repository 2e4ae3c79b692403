import type { ModelMetadata, ServerMetadata, TensorMetadata } from "../protocol/model-info.ts";
import { dataTypeOfTriton } from "../triton/data-types.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "../triton/model-config.ts";

const extensions = [
  "classification",
  "sequence",
  "model_repository",
  "model_repository(unload_dependents)",
  "schedule_policy",
  "model_configuration",
  "system_shared_memory",
  "cuda_shared_memory",
  "binary_tensor_data",
  "parameters",
  "statistics",
  "trace",
  "logging",
] as const;

/** What a server says of itself. */
export function serverMetadataOf({ name, version }: Pick<ServerMetadata, "name" | "version">): ServerMetadata {
  return { name, version, extensions };
}

/** What a server says of a model. */
export function modelMetadataOf(name: string, config: ModelConfig, versions: readonly string[]): ModelMetadata {
  const { platform = "", backend = "", input = [], output = [], maxBatchSize = 0 } = config;
  return {
    name,
    versions,
    platform: platform === "" ? backend : platform,
    inputs: input.map((tensor) => tensorMetadataOf(tensor, maxBatchSize)),
    outputs: output.map((tensor) => tensorMetadataOf(tensor, maxBatchSize)),
  };
}

function tensorMetadataOf(tensor: ModelInput | ModelOutput, maxBatchSize: number): TensorMetadata {
  const { name = "", dataType = "TYPE_INVALID", dims = [] } = tensor;
  return { name, datatype: dataTypeOfTriton(dataType) ?? "<invalid>", shape: maxBatchSize > 0 ? [-1, ...dims] : dims };
}
