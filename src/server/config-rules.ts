import { ServableError } from "../errors.ts";
import type { TensorSpec } from "../model/model.ts";
import type { ModelConfig, ModelInput, TritonDataType } from "../triton/model-config.ts";
import type { LoadedSpecs } from "./model-service.ts";

/** What a configuration is completed by. */
export interface ConfigFacts {
  readonly name: string;
  readonly gpus: readonly number[];
}

/** Whether a model must be asked for what its configuration leaves out. */
export function needsModel({ input = [], output = [] }: ModelConfig): boolean {
  return input.length === 0 || output.length === 0;
}

/** Fills in what does not depend on the model itself. @throws ServableError `invalid_config` */
export function withDefaults(config: ModelConfig, { name }: ConfigFacts): ModelConfig {
  if (config.name !== undefined && config.name !== "" && config.name !== name) {
    throw new ServableError(
      "invalid_config",
      `unexpected directory name '${name}' for model '${config.name}', directory name must equal model name`,
    );
  }
  return { ...config, name, backend: config.backend ?? "onnxruntime", platform: config.platform ?? "onnxruntime_onnx" };
}

/** Fills in inputs, outputs and batching from what the model says of itself. @throws ServableError `load_failed` */
export function completeFromModel(
  config: ModelConfig,
  { inputs, outputs }: LoadedSpecs,
  { name, defaultMaxBatchSize }: ConfigFacts & { readonly defaultMaxBatchSize: number },
): ModelConfig {
  const canBatch = [...inputs, ...outputs].every(({ shape }) => (shape.length > 0 && typeof shape[0] !== "number") || shape[0] === -1);
  const asked = config.maxBatchSize ?? 0;
  if (asked > 0 && !canBatch) {
    throw new ServableError(
      "load_failed",
      `autofill failed for model '${name}': model does not support batching while non-zero max_batch_size is specified`,
    );
  }
  const maxBatchSize = asked > 0 ? asked : canBatch ? defaultMaxBatchSize : 0;
  const scheduler = config.dynamicBatching ?? config.sequenceBatching ?? config.ensembleScheduling;
  return {
    ...config,
    maxBatchSize,
    input: config.input?.length ? config.input : inputs.map((spec) => tensorOf(spec, maxBatchSize > 0)),
    output: config.output?.length ? config.output : outputs.map((spec) => tensorOf(spec, maxBatchSize > 0)),
    ...(scheduler === undefined && maxBatchSize > 1 ? { dynamicBatching: {} } : {}),
  };
}

function tensorOf({ name, dataType, shape }: TensorSpec, batching: boolean): ModelInput {
  const lengths = shape.map((length) => (typeof length === "number" ? length : -1)).slice(batching ? 1 : 0);
  const type: TritonDataType = dataType === "BYTES" ? "TYPE_STRING" : `TYPE_${dataType}`;
  if (lengths.length > 0) return { name, dataType: type, dims: lengths };
  return { name, dataType: type, dims: [1], ...(batching ? { reshape: { shape: [] } } : {}) };
}
