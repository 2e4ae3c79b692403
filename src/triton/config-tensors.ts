import { ServableError } from "../errors.ts";
import type { DataType } from "../tensor/data-type.ts";
import { dataTypeOfTriton } from "./data-types.ts";
import type { ModelConfig } from "./model-config.ts";
import { TritonModelConfig } from "./triton-model-config.ts";

/** One tensor as requests and answers have it: with the batch's axis, where the model has one. */
export interface ConfigTensor {
  readonly name: string;
  readonly dataType: DataType;
  /** -1 where any length will do. */
  readonly shape: readonly number[];
  /** Whether a request may leave it out. */
  readonly optional: boolean;
}

/** The tensors of one model, as its configuration tells them. */
export interface ConfigTensors {
  readonly inputs: readonly ConfigTensor[];
  readonly outputs: readonly ConfigTensor[];
  /** 0 for a model without a batch's axis. */
  readonly maxBatchSize: number;
}

/**
 * What requests and answers look like by a configuration.
 *
 * @throws ServableError `invalid_config` where it does not tell
 */
export function tensorsOfConfig(config: ModelConfig | TritonModelConfig): ConfigTensors {
  const { name: model = "", input = [], output = [], maxBatchSize = 0 } = config instanceof TritonModelConfig ? config.config : config;
  const read = (side: "input" | "output", tensors: readonly ConfigField[]): ConfigTensor[] =>
    tensors.map(({ name = "", dataType: type = "TYPE_INVALID", dims = [], optional = false }) => {
      const dataType = dataTypeOfTriton(type);
      if (name === "" || dataType === undefined) {
        const what = name === "" ? `an ${side} without a name` : `no data type for the ${side} '${name}'`;
        throw new ServableError("invalid_config", `The configuration of model '${model}' has ${what}.`);
      }
      return { name, dataType, shape: maxBatchSize > 0 ? [-1, ...dims] : dims, optional };
    });
  return { inputs: read("input", input), outputs: read("output", output), maxBatchSize };
}

type ConfigField = NonNullable<ModelConfig["input"]>[number];
