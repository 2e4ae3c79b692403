import { TritonModelConfig, type TritonModelConfigOptions } from "./triton-model-config.ts";
import { TritonTensor, type EnrichedTensor } from "./triton-tensor.ts";

type Rest = Omit<TritonModelConfigOptions, "inputs" | "outputs" | "backend" | "platform">;

/** What {@link tritonConfigPytorchModel} takes. */
export interface PytorchModelOptions extends Rest {
  /** In the order of the model's arguments. */
  readonly inputs: readonly EnrichedTensor[];
  /** In the order of what the model returns. */
  readonly outputs: readonly EnrichedTensor[];
}

/**
 * The configuration of a TorchScript model. Such a model has no names for its tensors: Triton takes them by their place, as `input__0`, `output__0`
 * and so on.
 */
export function tritonConfigPytorchModel(options: PytorchModelOptions): TritonModelConfig {
  const named = (prefix: string, tensors: readonly EnrichedTensor[]) =>
    tensors.map(({ dataType, format, dims }, index) => new TritonTensor(`${prefix}__${index}`, dataType, format, dims));
  return new TritonModelConfig({
    ...options,
    backend: "pytorch",
    platform: "pytorch_libtorch",
    inputs: named("input", options.inputs),
    outputs: named("output", options.outputs),
  });
}

/** What {@link tritonConfigTensorflowModel} takes. */
export interface TensorflowModelOptions extends Rest {
  /** Under the names that the model's signature has. */
  readonly inputs: readonly TritonTensor[];
  /** Under the names that the model's signature has. */
  readonly outputs: readonly TritonTensor[];
  /** How the model was saved. @default "tensorflow_savedmodel" */
  readonly platform?: "tensorflow_savedmodel" | "tensorflow_graphdef" | undefined;
}

/** The configuration of a TensorFlow model. */
export function tritonConfigTensorflowModel(options: TensorflowModelOptions): TritonModelConfig {
  return new TritonModelConfig({ ...options, backend: "tensorflow", platform: options.platform ?? "tensorflow_savedmodel" });
}
