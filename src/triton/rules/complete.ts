import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { tritonTypeOf } from "../data-types.ts";
import type { ModelConfig, ModelInput } from "../model-config.ts";
import { compareWithModel } from "./compare.ts";
import { dimsOf, madeByServer, type ModelTensor, type ModelTensors } from "./model-tensors.ts";
import type { ConfigProblem } from "./problem.ts";

/** How a configuration is completed. */
export interface CompleteOptions {
  /** The model's name, for errors. */
  readonly name: string;
  /** `--backend-config=default-max-batch-size`: what max_batch_size becomes where it may. @default 4 */
  readonly defaultMaxBatchSize?: number | undefined;
  /** `--disable-auto-complete-config`: nothing is filled in, only compared. @default true */
  readonly autoComplete?: boolean | undefined;
}

const keys = { name: "needed", defaultMaxBatchSize: true, autoComplete: true } satisfies KeysOf<CompleteOptions>;

/** A configuration that was completed, and what of it does not go with the model. */
export interface Completed {
  readonly config: ModelConfig;
  readonly problems: readonly ConfigProblem[];
}

/**
 * Fills in inputs and outputs from the model where one of the two is missing, as Triton's ONNX backend does, and compares what was given with
 * the model. A model can be batched if every input and output begins with a dimension of any length.
 */
export function completeModelConfig(config: ModelConfig, model: ModelTensors, options: CompleteOptions): Completed {
  refuseUnknownKeys(options, keys, "completeModelConfig");
  const missing = (config.input ?? []).length === 0 || (config.output ?? []).length === 0;
  if (!missing || options.autoComplete === false) return { config, problems: compareWithModel(config, model) };
  const batchable = [...model.inputs, ...model.outputs].every((tensor) => dimsOf(tensor)[0] === -1);
  const asked = config.maxBatchSize ?? 0;
  if (!batchable && asked > 0) {
    const why = `model does not support batching while non-zero max_batch_size is specified`;
    return { config, problems: [{ path: ["max_batch_size"], message: `autofill failed for model '${options.name}': ${why}` }] };
  }
  const maxBatchSize = batchable && asked === 0 ? Math.max(0, options.defaultMaxBatchSize ?? 4) : asked;
  const unscheduled =
    config.dynamicBatching === undefined && config.sequenceBatching === undefined && config.ensembleScheduling === undefined;
  const made = madeByServer(config);
  const states = new Set(config.sequenceBatching?.state?.map(({ outputName = "" }) => outputName));
  const completed: ModelConfig = {
    ...config,
    maxBatchSize,
    ...(batchable && maxBatchSize > 1 && unscheduled && { dynamicBatching: {} }),
    input: config.input?.length ? config.input : fill(model.inputs, made, maxBatchSize),
    output: config.output?.length ? config.output : fill(model.outputs, states, maxBatchSize),
  };
  return { config: completed, problems: compareWithModel(completed, model) };
}

function fill(
  tensors: readonly ModelTensor[],
  except: ReadonlySet<string>,
  maxBatchSize: number,
): Pick<ModelInput, "name" | "dataType" | "dims" | "reshape">[] {
  return tensors
    .filter(({ name }) => !except.has(name))
    .map((tensor) => {
      const dims = maxBatchSize > 0 ? dimsOf(tensor).slice(1) : dimsOf(tensor);
      const common = { name: tensor.name, dataType: tritonTypeOf(tensor.dataType) };
      if (dims.length > 0) return { ...common, dims };
      // `dims` may not be empty; without batches an empty reshape may not be, either.
      return maxBatchSize > 0 ? { ...common, dims: [1], reshape: { shape: [] } } : { ...common, dims: [1] };
    });
}
