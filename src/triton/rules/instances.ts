import type { ModelConfig, ModelWarmup, ModelWarmupInput } from "../model-config.ts";
import { repeated, staysInside, type ConfigFacts, type Problems } from "./problem.ts";

/** The rules of instance groups. */
export function checkInstances(config: ModelConfig, facts: ConfigFacts, problems: Problems): void {
  const available = facts.gpus;
  config.instanceGroup?.forEach((group, index) => {
    const own = problems.at("instance_group", index);
    const { kind = "KIND_AUTO", gpus = [], profile = [] } = group;
    if ((kind === "KIND_CPU" || kind === "KIND_MODEL") && gpus.length > 0) own.add(["gpus"], `${kind} takes no GPUs`);
    if (kind === "KIND_GPU" && available !== undefined) {
      if (available.length === 0) own.add(["kind"], "KIND_GPU was asked for, and there is no GPU");
      for (const gpu of gpus) {
        if (available.length > 0 && !available.includes(gpu))
          own.add(["gpus"], `there is no GPU ${gpu}; there are ${available.join(", ")}`);
      }
    }
    if (profile.length > 0 && config.platform !== "tensorrt_plan")
      own.add(["profile"], "only models of the platform tensorrt_plan have profiles");
    else if (!profile.every((one) => /^\d+$/.test(one))) own.add(["profile"], "each is a whole number from 0 up, as text");
  });
}

/** The rules of warm-up requests. */
export function checkWarmup(config: ModelConfig, problems: Problems): void {
  config.modelWarmup?.forEach((warmup, index) => {
    // A sample of no rows is passed over.
    if ((warmup.batchSize ?? 0) > 0) checkSample(config, warmup, problems.at("model_warmup", index));
  });
}

function checkSample(config: ModelConfig, warmup: ModelWarmup, problems: Problems): void {
  const { inputs = {}, batchSize = 0 } = warmup;
  const most = Math.max(1, config.maxBatchSize ?? 0);
  if (batchSize > most)
    problems.add(["batch_size"], `${batchSize} is more than max_batch_size allows, which is ${config.maxBatchSize ?? 0}`);
  for (const [name, sample] of Object.entries(inputs)) checkSampleInput(config, name, sample, problems.at("inputs", name));
  for (const { name = "", optional } of config.input ?? []) {
    if (optional !== true && !Object.hasOwn(inputs, name)) problems.add(["inputs"], `input '${name}' is missing`);
  }
}

function checkSampleInput(config: ModelConfig, name: string, sample: ModelWarmupInput, problems: Problems): void {
  const { dims = [], dataType = "TYPE_INVALID", inputDataFile } = sample;
  const kinds = [sample.zeroData, sample.randomData, inputDataFile].filter((one) => one !== undefined).length;
  if (kinds !== 1) problems.add([], "one of zero_data, random_data and input_data_file must be given");
  if (inputDataFile !== undefined && !staysInside(inputDataFile)) {
    problems.add(["input_data_file"], `'${inputDataFile}' must be a relative path that stays in the folder 'warmup'`);
  }
  if (!dims.every((length) => length >= 1)) problems.add(["dims"], "each must be 1 or more: a sample has a shape of its own");
  if (dataType === "TYPE_INVALID") problems.add(["data_type"], "it must be given");
  const input = config.input?.find((one) => one.name === name);
  const others = [
    ...(config.sequenceBatching?.controlInput ?? []).map((control) => control.name),
    ...(config.sequenceBatching?.state ?? []).map((state) => state.inputName),
  ];
  if (input === undefined) {
    if (!others.includes(name)) problems.add([], "the model has no such input");
    return;
  }
  if (dataType !== "TYPE_INVALID" && dataType !== input.dataType)
    problems.add(["data_type"], `it must be the input's, ${input.dataType ?? "TYPE_INVALID"}`);
  const wanted = input.dims ?? [];
  const fits = dims.length === wanted.length && dims.every((length, axis) => wanted[axis] === -1 || wanted[axis] === length);
  if (!fits) problems.add(["dims"], `[${dims.join(", ")}] does not fit the input's dims, [${wanted.join(", ")}]`);
}

/** The rules of metrics of a model's own. */
export function checkMetrics(config: ModelConfig, problems: Problems): void {
  config.modelMetrics?.metricControl?.forEach((control, index) => {
    const own = problems.at("model_metrics", "metric_control", index);
    if ((control.metricIdentifier?.family ?? "") === "") own.add(["metric_identifier", "family"], "it must be given");
    const { buckets = [] } = control.histogramOptions ?? {};
    if (buckets.length === 0) own.add(["histogram_options", "buckets"], "at least one must be given");
  });
}

/** The rules of the version policy. */
export function checkVersionPolicy(config: ModelConfig, problems: Problems): void {
  const { latest, all, specific } = config.versionPolicy ?? {};
  const own = problems.at("version_policy");
  if ([latest, all, specific].filter((one) => one !== undefined).length > 1) own.add([], "of latest, all and specific there may be one");
  if (latest !== undefined && (latest.numVersions ?? 0) === 0)
    own.add(["latest", "num_versions"], "it must be 1 or more, else no version is served");
  const { versions = [] } = specific ?? {};
  if (specific !== undefined && versions.length === 0)
    own.add(["specific", "versions"], "at least one must be given, else no version is served");
  if (versions.some((version) => version < 1)) own.add(["specific", "versions"], "versions are numbers from 1 up");
  for (const version of repeated(versions.map(String))) own.add(["specific", "versions"], `${version} is there more than once`);
}
