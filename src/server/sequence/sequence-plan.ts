import { ServableError } from "../../errors.ts";
import type { BatchPolicy } from "../../service/definition.ts";
import type { Int64, ModelConfig, ModelSequenceBatching } from "../../triton/model-config.ts";

/** The limits of a model's sequences, as its configuration has them. */
export interface SequenceLimits {
  /** How many sequences may be under way at the same time; those that start later wait. */
  readonly slots: number;
  /** After how long without a request a sequence is over. */
  readonly idleMs: number;
}

/**
 * What `sequence_batching` says of slots and times. In Triton a slot is a place in the batch of one instance, since models may keep the state of
 * a sequence themselves, in that instance and by that place. What runs here keeps nothing between two runs: the state is the server's, so any
 * instance can run any sequence. A slot is then nothing but a permission to be under way, and there are as many as Triton has.
 *
 * @throws ServableError `unsupported` for iterative sequences
 */
export function sequenceLimitsOf(config: ModelConfig, instances: number): SequenceLimits {
  const { oldest, maxSequenceIdleMicroseconds = 0, iterativeSequence = false } = config.sequenceBatching ?? {};
  if (iterativeSequence) {
    throw new ServableError(
      "unsupported",
      `model '${config.name ?? ""}' wants sequence_batching with iterative_sequence, where a backend hands a request back to be run again: ` +
        "no backend of this server does that. Send the requests of a sequence one by one, without iterative_sequence.",
    );
  }
  const candidates = oldest?.maxCandidateSequences ?? 0;
  const each = candidates > 0 ? candidates : Math.max(1, config.maxBatchSize ?? 0);
  return { slots: each * instances, idleMs: toMs(maxSequenceIdleMicroseconds) };
}

/** How requests of different sequences share batches. */
export function sequenceBatchPolicyOf({ maxBatchSize = 0 }: ModelConfig, { oldest, direct }: ModelSequenceBatching): BatchPolicy {
  if (maxBatchSize <= 1) return { maxRows: 1 };
  if (oldest !== undefined) {
    const maxDelayMs = toMs(oldest.maxQueueDelayMicroseconds ?? 0);
    return { maxRows: maxBatchSize, maxDelayMs, waitAlone: maxDelayMs > 0, preferredRows: oldest.preferredBatchSize ?? [] };
  }
  const share = direct?.minimumSlotUtilization ?? 0;
  // Only where a share of the slots is waited for is there a delay; each number of rows that is enough is then a preferred one.
  const maxDelayMs = share > 0 ? toMs(direct?.maxQueueDelayMicroseconds ?? 0) : 0;
  const enough = Math.max(1, Math.ceil(share * maxBatchSize));
  const preferredRows = maxDelayMs > 0 ? Array.from({ length: maxBatchSize - enough }, (_, index) => enough + index) : [];
  return { maxRows: maxBatchSize, maxDelayMs, waitAlone: maxDelayMs > 0, preferredRows };
}

/** From microseconds. */
export function toMs(microseconds: Int64): number {
  return Number(microseconds) / 1_000;
}
