import { ServableError } from "../../errors.ts";
import type { BatchPolicy } from "../../service/definition.ts";

/** A {@link BatchPolicy} with every default filled in. */
export interface ResolvedBatchPolicy {
  readonly maxRows: number;
  readonly maxDelayMs: number;
  readonly waitAlone: boolean;
  readonly preferredRows: ReadonlySet<number>;
}

/** Fills in the defaults. @throws ServableError `invalid_config` for numbers that make no sense */
export function resolveBatchPolicy(policy: BatchPolicy = {}): ResolvedBatchPolicy {
  const maxRows = policy.maxRows ?? 1;
  const maxDelayMs = policy.maxDelayMs ?? 0;
  const preferred = policy.preferredRows ?? [];
  if (!Number.isSafeInteger(maxRows) || maxRows < 1) {
    throw new ServableError("invalid_config", `batching.maxRows must be a whole number of at least 1, not ${maxRows}.`);
  }
  if (!Number.isFinite(maxDelayMs) || maxDelayMs < 0) {
    throw new ServableError("invalid_config", `batching.maxDelayMs must be 0 or more milliseconds, not ${maxDelayMs}.`);
  }
  for (const rows of preferred) {
    if (!Number.isSafeInteger(rows) || rows < 1 || rows > maxRows) {
      throw new ServableError(
        "invalid_config",
        `batching.preferredRows must be whole numbers from 1 to maxRows (${maxRows}), not ${rows}.`,
      );
    }
  }
  return { maxRows, maxDelayMs, waitAlone: policy.waitAlone ?? false, preferredRows: new Set(preferred) };
}
