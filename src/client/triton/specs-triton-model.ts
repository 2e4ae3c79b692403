import { refuseUnknownKeys } from "../../known-keys.ts";
import type { NamedShapes } from "../../tensor/named-arrays.ts";
import { modelConfigFromJson } from "../../triton/config-from-json.ts";
import { tensorsOfConfig, type ConfigTensors } from "../../triton/config-tensors.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import type { TritonModelConfig } from "../../triton/triton-model-config.ts";
import type { InferenceClient } from "../open-inference/inference-client.ts";
import { openClient } from "./connect.ts";
import { TritonModel, callOf, connectKeys, runKeys, runOf, type ConnectOptions, type TritonModelOptions } from "./triton-model.ts";

/**
 * A {@link TritonModel} that also tells the shapes of its inputs and outputs, how large its batches may be, and which inputs may be left out. It knows
 * that from a configuration, and need not ask the server before its first run; or from the server.
 *
 * @example
 * ```ts
 * import { SpecsTritonModel, TritonModelConfig, TritonTensor } from "servable/triton";
 *
 * const config = new TritonModelConfig({
 *   name: "classifier",
 *   backend: "onnxruntime",
 *   maxBatchSize: 8,
 *   inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [64])],
 *   outputs: [new TritonTensor("y", "TYPE_FP32", "FORMAT_NONE", [10])],
 * });
 * const model = new SpecsTritonModel("grpc://127.0.0.1:8001", config);
 * console.log(model.inputShapes.x); // [-1, 64]
 * ```
 */
export class SpecsTritonModel extends TritonModel {
  /** The shape of each input, -1 where any length will do. */
  readonly inputShapes: NamedShapes;
  /** The shape of each output, -1 where any length may come. */
  readonly outputShapes: NamedShapes;
  /** How many rows one run may have; 0 for a model without a batch's axis. */
  readonly maxBatchSize: number;

  /**
   * @param server - as for {@link TritonModel}
   * @throws ServableError `invalid_config` where the configuration does not tell names and data types of all inputs and outputs
   */
  constructor(server: string | URL | InferenceClient, config: ModelConfig | TritonModelConfig, options: TritonModelOptions = {}) {
    refuseUnknownKeys(options, runKeys, "SpecsTritonModel");
    const tensors = tensorsOfConfig(config);
    const { inputs, outputs, maxBatchSize } = tensors;
    const { name = "" } = config;
    super(server, { ...runOf(options), name, inputs, outputs, optional: inputs.filter((one) => one.optional).map((one) => one.name) });
    this.inputShapes = shapesOf(inputs);
    this.outputShapes = shapesOf(outputs);
    this.maxBatchSize = maxBatchSize;
  }

  /**
   * A model as the configuration that the server has for it says.
   *
   * @throws ServableError `not_found` where the server has no such model, `not_ready` while it is not loaded, `unavailable` where nobody answers
   */
  static override async connect(
    server: string | URL | InferenceClient,
    name: string,
    options: ConnectOptions = {},
  ): Promise<SpecsTritonModel> {
    refuseUnknownKeys(options, connectKeys, "SpecsTritonModel.connect");
    const opened = openClient(server);
    try {
      // No more of it than is needed: a newer server's may have fields that nobody here knows.
      const { max_batch_size = 0, input = [], output = [] } = await opened.client.modelConfig(name, callOf(options));
      const config = modelConfigFromJson(JSON.stringify({ name, max_batch_size, input, output }));
      return new SpecsTritonModel(server, config, runOf(options));
    } finally {
      opened.close();
    }
  }
}

function shapesOf(tensors: ConfigTensors["inputs"]): NamedShapes {
  return Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]));
}
