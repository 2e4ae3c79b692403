import { ServableError } from "../errors.ts";
import { checkPolicyKeys } from "../service/check-options.ts";
import type { AnyServiceDefinition, Placement, ServicePolicy } from "../service/definition.ts";
import { resolveBatchPolicy, type ResolvedBatchPolicy } from "./batching/batch-policy.ts";

/** A {@link ServicePolicy} with every default filled in. */
export interface ResolvedPolicy {
  readonly placement: Placement;
  /** Whether the service asked for its placement, or got the default. */
  readonly placementAsked: boolean;
  readonly workers: number;
  readonly concurrency: number;
  readonly queue: number;
  readonly deadlineMs: number;
  readonly killAfterMs: number;
  readonly batching: ResolvedBatchPolicy;
  readonly maxBodyBytes: number;
  /** Threads for the stages around a model; 0 where they run on the thread that does I/O. */
  readonly stageWorkers: number;
  readonly devices: readonly number[];
}

/** The device of a worker: one after the other, and from the first one again. */
export function deviceOf({ devices }: ResolvedPolicy, worker: number): number | undefined {
  return devices[worker % Math.max(1, devices.length)];
}

/** A policy can come from JavaScript or a file, so its words are checked. */
const placements: readonly string[] = ["inline", "thread", "process"] satisfies readonly Placement[];

/**
 * Fills in the defaults; what `override` says wins over the definition.
 *
 * @throws ServableError `invalid_config` for a limit that is not a positive whole number
 */
export function resolvePolicy(definition: AnyServiceDefinition, override: ServicePolicy = {}): ResolvedPolicy {
  const own = definition.policy;
  checkPolicyKeys(override, `Service '${definition.name}'`);
  const placement = override.placement ?? own.placement;
  if (placement !== undefined && !placements.includes(placement)) {
    throw new ServableError(
      "invalid_config",
      `Service '${definition.name}': placement must be "inline", "thread" or "process", not ${JSON.stringify(placement)}.`,
    );
  }
  const limit = (name: string, value: number, least: number): number => {
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new ServableError(
      "invalid_config",
      `Service '${definition.name}': ${name} must be a whole number of at least ${least}, not ${value}.`,
    );
  };
  return Object.freeze({
    placement: placement ?? (definition.model ? "thread" : "inline"),
    placementAsked: placement !== undefined,
    workers: limit("workers", override.workers ?? own.workers ?? 1, 1),
    concurrency: limit("concurrency", override.concurrency ?? own.concurrency ?? 64, 1),
    queue: limit("queue", override.queue ?? own.queue ?? 256, 0),
    deadlineMs: limit("deadlineMs", override.deadlineMs ?? own.deadlineMs ?? 30_000, 1),
    killAfterMs: limit("killAfterMs", override.killAfterMs ?? own.killAfterMs ?? 5_000, 1),
    stageWorkers: limit("stages.workers", (override.stages ?? own.stages)?.workers ?? 0, 0),
    devices: (override.devices ?? own.devices ?? []).map((device) => limit("devices", device, 0)),
    batching: resolveBatchPolicy(override.batching ?? own.batching),
    maxBodyBytes: limit("maxBodyBytes", override.maxBodyBytes ?? own.maxBodyBytes ?? 16 * 1024 * 1024, 1),
  });
}
