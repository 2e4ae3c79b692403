import { stat } from "node:fs/promises";
import path from "node:path";
import { ServableError, messageOf } from "../../errors.ts";
import { completeModelConfig } from "../../triton/rules/complete.ts";
import { problemsError } from "../../triton/rules/problem.ts";
import { TritonModelConfig, type TritonModelConfigOptions } from "../../triton/triton-model-config.ts";
import { quietLog } from "./quiet-log.ts";

/** What {@link tritonConfigOnnxModel} takes; what is left out comes from the model. */
export interface OnnxModelConfigOptions extends Omit<TritonModelConfigOptions, "name" | "backend" | "platform"> {
  /** @default the name of the model's folder in a repository (`mlp/1/model.onnx`), else the file's own without its extension */
  readonly name?: string | undefined;
}

/** What a model that can have batches gets; Triton's own default. */
const defaultMaxBatchSize = 4;

/**
 * The configuration of an ONNX model, read from the model itself: it is loaded by onnxruntime, in a worker thread, and asked what it takes and gives. A model
 * whose tensors all begin with a dimension of any length can have batches.
 *
 * @param file - The .onnx file; weights in files beside it are found there.
 * @throws ServableError `load_failed` for a file that onnxruntime can't load, `invalid_config` where `options` don't go with the model,
 * `missing_dependency` where onnxruntime-node is not installed
 *
 * @example
 * ```ts
 * import { tritonConfigOnnxModel } from "servable/triton";
 *
 * export async function configText(): Promise<string> {
 *   const config = await tritonConfigOnnxModel("./mlp.onnx", { maxBatchSize: 16 });
 *   return config.asPbtext();
 * }
 * ```
 */
export async function tritonConfigOnnxModel(file: string, options: OnnxModelConfigOptions = {}): Promise<TritonModelConfig> {
  const absolute = path.resolve(file);
  const facts = await stat(absolute).catch((thrown: unknown) => {
    throw new ServableError("load_failed", `${file} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  });
  if (!facts.isFile()) throw new ServableError("load_failed", `${file} is no file.`);
  const name = options.name ?? nameOf(absolute);
  const { inputs, outputs, dynamicBatching, ...rest } = options;
  const wanted = new TritonModelConfig({
    ...rest,
    name,
    backend: "onnxruntime",
    platform: "onnxruntime_onnx",
    ...(inputs !== undefined && { inputs }),
    ...(outputs !== undefined && { outputs }),
    ...(dynamicBatching !== undefined && { dynamicBatching }),
  }).config;
  // What starts workers is not loaded by those who only write configurations.
  const { probeOnnx } = await import("../backend/onnx-probe.ts");
  const model = await probeOnnx(wanted, { file: absolute, folder: path.dirname(absolute) }, quietLog).catch((thrown: unknown) => {
    if (!ServableError.isInstance(thrown)) throw thrown;
    throw new ServableError(thrown.code, `${file}: ${thrown.message}`, { cause: thrown });
  });
  const isUnbatched = options.maxBatchSize === 0;
  const { config, problems } = completeModelConfig(wanted, model, { name, defaultMaxBatchSize: isUnbatched ? 0 : defaultMaxBatchSize });
  if (problems.length > 0) throw problemsError(name, problems);
  const { input, output, dynamicBatching: filled, ...others } = config;
  return new TritonModelConfig({
    ...others,
    name,
    inputs: input,
    outputs: output,
    // Batches come with it, unless they are not wanted.
    dynamicBatching: dynamicBatching === false ? undefined : filled,
  });
}

function nameOf(file: string): string {
  const version = path.basename(path.dirname(file));
  const model = path.basename(path.dirname(path.dirname(file)));
  return /^[1-9]\d*$/.test(version) && model !== "" ? model : path.basename(file, path.extname(file));
}
