import { ServableError } from "../../errors.ts";
import type { ModelConfig, ModelInstanceGroup } from "../../triton/model-config.ts";

/**
 * How many instances of a model run: a number, which keeps all else that its configuration says of them; or whole instance groups (GPUs,
 * rate limiters, …) that take the place of those in its configuration.
 */
export type ModelReplication = number | readonly ModelInstanceGroup[];

/** As many as any machine can hold; more is a mistake. */
const mostInstances = 1_024;

/**
 * A model's configuration with its replication written into it.
 *
 * @throws ServableError `invalid_config` where the two don't go together
 */
export function withReplication(config: ModelConfig, name: string, replication: ModelReplication): ModelConfig {
  if (config.platform === "ensemble" || config.ensembleScheduling !== undefined) {
    throw new ServableError(
      "invalid_config",
      `The model '${name}' is an ensemble, which has no instances: replicate the models of its steps.`,
    );
  }
  if (typeof replication !== "number") {
    if (replication.length === 0)
      throw new ServableError("invalid_config", `The replication of '${name}' is an empty list of instance groups.`);
    replication.forEach((group, index) => {
      if (group.count !== undefined) checkCount(`The replication of '${name}' has in group ${index} the count`, group.count);
    });
    return { ...config, name: config.name ?? name, instanceGroup: replication };
  }
  checkCount(`The replication of '${name}' is`, replication);
  const [first = {}, ...others] = config.instanceGroup ?? [];
  if (others.length > 0) {
    throw new ServableError(
      "invalid_config",
      `The model '${name}' has ${others.length + 1} instance groups, so one number does not say which is meant: give its replication as a list of groups.`,
    );
  }
  return { ...config, name: config.name ?? name, instanceGroup: [{ ...first, count: replication }] };
}

function checkCount(what: string, count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= mostInstances) return;
  throw new ServableError("invalid_config", `${what} ${count}; it must be a whole number from 1 to ${mostInstances}.`);
}

/** Whether a replication has rate limiters, which a server heeds only when it is told to. */
export function hasRateLimiter(replication: Readonly<Record<string, ModelReplication>>): boolean {
  return Object.values(replication).some((one) => typeof one !== "number" && one.some(({ rateLimiter }) => rateLimiter !== undefined));
}
