import type { ModelConfig, ModelInstanceGroup } from "../model-config.ts";
import type { ModelOptimizationPolicy } from "../optimization-config.ts";
import { backendFor, compiledFilenames, modelFilename, platformsOf } from "./platforms.ts";
import type { ConfigFacts } from "./problem.ts";

/** How long a sequence may be idle where nothing is said, in microseconds. */
const sequenceIdle = 1_000_000;

/**
 * Fills the gaps that Triton fills, so that /config shows what holds: name, backend, platform, the model's file, version policy, preferred batch
 * sizes, instance groups, pinned memory. What is given stays.
 */
export function withConfigDefaults(config: ModelConfig, facts: ConfigFacts): ModelConfig {
  const named = {
    ...config,
    name: given(config.name) ?? facts.name,
    versionPolicy: config.versionPolicy ?? { latest: { numVersions: 1 } },
  };
  if (config.ensembleScheduling !== undefined || config.platform === "ensemble") return named;
  const placed = withBackend(named, facts.files ?? []);
  const { maxBatchSize = 0, dynamicBatching: dynamic, sequenceBatching: sequence } = placed;
  const preferred = (sizes: readonly number[] | undefined) => (isEmpty(sizes) && maxBatchSize > 0 ? [maxBatchSize] : sizes);
  return {
    ...placed,
    ...(dynamic !== undefined && { dynamicBatching: { ...dynamic, preferredBatchSize: preferred(dynamic.preferredBatchSize) } }),
    ...(sequence !== undefined && {
      sequenceBatching: {
        ...sequence,
        maxSequenceIdleMicroseconds: given(sequence.maxSequenceIdleMicroseconds) ?? sequenceIdle,
        ...(sequence.oldest !== undefined && {
          oldest: { ...sequence.oldest, preferredBatchSize: preferred(sequence.oldest.preferredBatchSize) },
        }),
      },
    }),
    instanceGroup: instanceGroups(placed, facts.gpus ?? []),
    optimization: withPinnedMemory(placed.optimization),
  };
}

function withBackend(config: ModelConfig, files: readonly string[]): ModelConfig {
  const platform = config.platform ?? "";
  const filename = config.defaultModelFilename ?? "";
  const backend = given(config.backend) ?? backendFor(platform, filename, files);
  if (backend === undefined) return config;
  const isCompiled = backend === "typescript" && !files.includes("model.ts");
  const compiled = isCompiled ? compiledFilenames.find((name) => files.includes(name)) : undefined;
  return {
    ...config,
    backend,
    platform: given(platform) ?? platformsOf(backend)?.[0] ?? platform,
    defaultModelFilename: given(filename) ?? compiled ?? modelFilename(backend, platform) ?? filename,
  };
}

/** One group, named as the model, where there is none; in those that there are, what they leave open. */
function instanceGroups(config: ModelConfig, gpus: readonly number[]): readonly ModelInstanceGroup[] {
  const { name = "", backend = "" } = config;
  const groups = isEmpty(config.instanceGroup) ? [{ name }] : (config.instanceGroup ?? []);
  return groups.map((group: ModelInstanceGroup, index) => {
    const listed = group.gpus ?? [];
    const auto = gpus.length > 0 && listed.every((gpu) => gpus.includes(gpu)) ? "KIND_GPU" : "KIND_CPU";
    const kind = group.kind === undefined || group.kind === "KIND_AUTO" ? auto : group.kind;
    const two = kind === "KIND_CPU" && (backend === "onnxruntime" || backend === "tensorflow");
    return {
      ...group,
      name: given(group.name) ?? `${name}_${index}`,
      kind,
      count: (group.count ?? 0) >= 1 ? group.count : two ? 2 : 1,
      ...(kind === "KIND_GPU" && listed.length === 0 && { gpus }),
    };
  });
}

function withPinnedMemory(optimization: ModelOptimizationPolicy | undefined): ModelOptimizationPolicy {
  const on = { enable: true };
  return {
    ...optimization,
    inputPinnedMemory: optimization?.inputPinnedMemory ?? on,
    outputPinnedMemory: optimization?.outputPinnedMemory ?? on,
  };
}

/** A scalar that is not at its default, which proto3 can't tell from nothing. */
function given<T extends string | number | bigint>(value: T | undefined): T | undefined {
  return value === "" || value === 0 ? undefined : value;
}

function isEmpty(list: readonly unknown[] | undefined): boolean {
  return list === undefined || list.length === 0;
}
