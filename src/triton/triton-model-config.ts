import { ServableError } from "../errors.ts";
import { kindOf } from "../known-keys.ts";
import type { ModelConfig, ModelDynamicBatching, ModelInput, ModelOutput } from "./model-config.ts";
import { parseModelConfig } from "./parse-pbtxt.ts";
import { withConfigDefaults } from "./rules/defaults.ts";
import { problemsError } from "./rules/problem.ts";
import { validateModelConfig } from "./rules/validate.ts";
import { ToProtobufText, TritonTensor } from "./triton-tensor.ts";
import { writeModelConfig } from "./write-pbtxt.ts";

/** What a {@link TritonModelConfig} is made of: the short way of the usual fields, and every other field of `model_config.proto`. */
export interface TritonModelConfigOptions extends Omit<ModelConfig, "name" | "input" | "output" | "dynamicBatching"> {
  /** The model's name, which is the name of its folder. */
  readonly name: string;
  /** @default none, where Triton takes them from the model's file */
  readonly inputs?: readonly (TritonTensor | ModelInput)[] | undefined;
  /** @default none, where Triton takes them from the model's file */
  readonly outputs?: readonly (TritonTensor | ModelOutput)[] | undefined;
  /** `true` joins requests as Triton does by default. @default false */
  readonly dynamicBatching?: boolean | ModelDynamicBatching | undefined;
}

/**
 * The configuration of a model for Triton, checked by Triton's own rules.
 *
 * @example
 * ```ts
 * import { TritonModelConfig, TritonTensor } from "servable/triton";
 *
 * const config = new TritonModelConfig({
 *   name: "classifier",
 *   backend: "onnxruntime",
 *   maxBatchSize: 8,
 *   dynamicBatching: true,
 *   inputs: [new TritonTensor("image", "TYPE_FP32", "FORMAT_NCHW", [3, 224, 224])],
 *   outputs: [new TritonTensor("scores", "TYPE_FP32", "FORMAT_NONE", [1000])],
 * });
 * const text = config.asPbtext();
 * ```
 */
export class TritonModelConfig extends ToProtobufText {
  /** The whole configuration, field by field. */
  readonly config: ModelConfig;
  readonly #text: string;

  /** @throws ServableError `invalid_config` that names every field that Triton would refuse. */
  constructor(options: TritonModelConfigOptions) {
    super();
    checkOptions(options);
    const { inputs, outputs, dynamicBatching, ...rest } = options;
    const batching = dynamicBatching === true ? {} : dynamicBatching === false ? undefined : dynamicBatching;
    this.config = {
      ...rest,
      ...(inputs !== undefined && { input: inputs.map((tensor) => (tensor instanceof TritonTensor ? tensor.asInput() : tensor)) }),
      ...(outputs !== undefined && { output: outputs.map((tensor) => (tensor instanceof TritonTensor ? tensor.asOutput() : tensor)) }),
      ...(batching !== undefined && { dynamicBatching: batching }),
    };
    // Refuses what is of another type than its field, which the rules then need not look at.
    this.#text = writeModelConfig(this.config);
    const facts = { name: options.name };
    const problems = validateModelConfig(withConfigDefaults(this.config, facts), facts);
    if (problems.length > 0) throw problemsError(options.name, problems);
  }

  /** The model's name. */
  get name(): string {
    return this.config.name ?? "";
  }

  /** The text of config.pbtxt. It is stable: the same configuration gives the same text. */
  override asPbtext(): string {
    return this.#text;
  }

  /**
   * Reads a config.pbtxt.
   *
   * @param text - In protobuf's text format.
   * @param name - The model's name, for a text that does not tell it.
   * @throws ServableError `invalid_config` with line and column, or with every field that Triton would refuse.
   */
  static parsePbtext(text: string, name?: string): TritonModelConfig {
    const { input: inputs, output: outputs, ...rest } = parseModelConfig(text);
    return new TritonModelConfig({ ...rest, inputs, outputs, name: rest.name ?? name ?? "model" });
  }
}

/** Plain JavaScript may give anything; which fields there are is checked where they are written. */
function checkOptions(options: unknown): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new ServableError(
      "invalid_config",
      `TritonModelConfig takes an object with options, such as { name: "mlp", backend: "onnxruntime" }, not ${kindOf(options)}.`,
    );
  }
  if (!("name" in options) || options.name === undefined)
    throw new ServableError("invalid_config", "TritonModelConfig needs the option 'name'.");
}
