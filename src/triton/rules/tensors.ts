import type { BatchInput, BatchOutput, ModelConfig, ModelInput, ModelOutput } from "../model-config.ts";
import { repeated, staysInside, type Problems } from "./problem.ts";
import { elementCount, isDimension, reshapeProblem } from "./shapes.ts";

const mostElements = 2n ** 63n - 1n;

/** The rules of inputs and outputs. */
export function checkTensors(config: ModelConfig, problems: Problems): void {
  const { input = [], output = [] } = config;
  input.forEach((tensor, index) => {
    const own = problems.at("input", index);
    checkTensor(config, tensor, own);
    const format = tensor.format ?? "FORMAT_NONE";
    if (format !== "FORMAT_NONE" && tensor.dims?.length !== 3)
      own.add(["format"], `${format} needs 3 'dims', which has ${tensor.dims?.length ?? 0}`);
    if (tensor.optional === true && (config.maxBatchSize ?? 0) > 0 && config.platform === "onnxruntime_onnx") {
      own.add(["optional"], "an ONNX model takes optional inputs only with max_batch_size 0");
    }
  });
  output.forEach((tensor, index) => {
    const own = problems.at("output", index);
    checkTensor(config, tensor, own);
    const file = tensor.labelFilename ?? "";
    if (file !== "" && !staysInside(file))
      own.add(["label_filename"], `'${file}' must be a relative path that stays in the model's folder`);
  });
  for (const [field, tensors] of [
    ["input", input],
    ["output", output],
  ] as const) {
    for (const name of repeated(tensors.map((tensor) => tensor.name))) problems.add([field], `'${name}' is there more than once`);
  }
}

function checkTensor(config: ModelConfig, tensor: ModelInput | ModelOutput, problems: Problems): void {
  const { dims = [], reshape } = tensor;
  const batching = (config.maxBatchSize ?? 0) > 0;
  if ((tensor.name ?? "") === "") problems.add(["name"], "it must be given");
  if ((tensor.dataType ?? "TYPE_INVALID") === "TYPE_INVALID") problems.add(["data_type"], "it must be given");
  if (dims.length === 0) problems.add(["dims"], "at least one dimension must be given (for a scalar: [ 1 ] and an empty reshape)");
  if (!dims.every(isDimension)) problems.add(["dims"], "each must be 1 or more, or -1 for any length");
  if (tensor.isShapeTensor === true && config.platform !== "tensorrt_plan") {
    problems.add(["is_shape_tensor"], "only models of the platform tensorrt_plan have shape tensors");
  }
  if (tensor.isNonLinearFormatIo === true) {
    if (config.platform !== "tensorrt_plan")
      problems.add(["is_non_linear_format_io"], "only models of the platform tensorrt_plan have such formats");
    else if (dims.length !== 3) problems.add(["is_non_linear_format_io"], `it needs 3 'dims', which has ${dims.length}`);
  }
  if (reshape === undefined || dims.length === 0 || !dims.every(isDimension)) return;
  const shape = reshape.shape ?? [];
  if (shape.length === 0 && !batching) problems.add(["reshape"], "it may be empty only where max_batch_size is above 0");
  if (!shape.every(isDimension)) problems.add(["reshape", "shape"], "each must be 1 or more, or -1 for any length");
  else if ((elementCount(dims) ?? 0n) > mostElements) problems.add(["dims"], "there are more elements than 64 bits can count");
  else {
    const wrong = reshapeProblem(dims, shape);
    if (wrong !== undefined) problems.add(["reshape", "shape"], `it ${wrong}`);
  }
}

/** The rules of inputs that are made of a batch, and of outputs that are taken apart by one. */
export function checkBatchTensors(config: ModelConfig, problems: Problems): void {
  const inputs = new Set(config.input?.map(({ name }) => name));
  const outputs = new Set(config.output?.map(({ name }) => name));
  config.batchInput?.forEach((item, index) => {
    const own = problems.at("batch_input", index);
    checkSource(item, item.kind ?? "BATCH_ELEMENT_COUNT", inputs, own);
    if (item.dataType !== "TYPE_INT32" && item.dataType !== "TYPE_FP32") own.add(["data_type"], "it must be TYPE_INT32 or TYPE_FP32");
    if ((item.targetName ?? []).length === 0) own.add(["target_name"], "it must name an input of the model itself");
  });
  config.batchOutput?.forEach((item, index) => {
    const own = problems.at("batch_output", index);
    checkSource(item, item.kind ?? "BATCH_SCATTER_WITH_INPUT_SHAPE", inputs, own);
    const { targetName = [] } = item;
    for (const name of targetName) if (!outputs.has(name)) own.add(["target_name"], `there is no output '${name}'`);
    for (const name of repeated(targetName)) own.add(["target_name"], `'${name}' is there more than once`);
  });
}

function checkSource(item: BatchInput | BatchOutput, kind: string, inputs: ReadonlySet<string | undefined>, problems: Problems): void {
  const { sourceInput = [] } = item;
  if (sourceInput.length !== 1) problems.add(["source_input"], `${kind} takes exactly 1, not ${sourceInput.length}`);
  for (const name of sourceInput) if (!inputs.has(name)) problems.add(["source_input"], `there is no input '${name}'`);
}
