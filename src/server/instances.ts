import { ServableError } from "../errors.ts";
import type { ModelConfig, ModelInstanceGroup } from "../triton/model-config.ts";

/** Triton's own default on a CPU. */
const instancesOnCpu = 2;
/** Of one version, each a thread with a session. Without a bound the process ends at a count that no machine has room for. */
const mostInstances = 256;

/** One instance of a model. */
export interface InstancePlace {
  /** null for the CPU. */
  readonly gpu: number | null;
  readonly group: ModelInstanceGroup;
}

/**
 * The instances of a model, in the order of its groups.
 *
 * @param gpus - those of this machine
 * @throws ServableError `invalid_config`
 */
export function instancesOf(config: ModelConfig, gpus: readonly number[]): readonly InstancePlace[] {
  const groups: readonly ModelInstanceGroup[] = config.instanceGroup?.length ? config.instanceGroup : [{}];
  let left = mostInstances;
  return groups.flatMap((group): readonly InstancePlace[] => {
    if (group.passive === true) return [];
    const { name = config.name ?? "", kind = "KIND_AUTO" } = group;
    const onGpu = kind === "KIND_GPU" || (kind === "KIND_AUTO" && gpus.length > 0);
    const count = group.count !== undefined && group.count > 0 ? group.count : onGpu ? 1 : instancesOnCpu;
    left -= onGpu ? count * Math.max(1, group.gpus?.length ?? gpus.length) : count;
    if (left < 0) {
      throw new ServableError("invalid_config", `model ${config.name ?? ""} wants more than ${mostInstances} instances of a version`);
    }
    if (!onGpu) return Array.from({ length: count }, () => ({ gpu: null, group }));
    const wanted = group.gpus?.length ? group.gpus : gpus;
    const missing = wanted.find((gpu) => !gpus.includes(gpu));
    if (wanted.length === 0 || missing !== undefined) {
      const which = missing === undefined ? "a GPU" : `GPU ${missing}`;
      throw new ServableError(
        "invalid_config",
        `instance group ${name} of model ${config.name ?? ""} has kind KIND_GPU but ${which} is not available on this machine`,
      );
    }
    return wanted.flatMap((gpu) => Array.from({ length: count }, () => ({ gpu, group })));
  });
}
