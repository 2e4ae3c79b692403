import type { BatchPolicy } from "../service/definition.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { sequenceBatchPolicyOf } from "./sequence/sequence-plan.ts";

/** How the engine puts a model's requests together; without dynamic batching each request is a batch of its own. */
export function batchPolicyOf(config: ModelConfig): BatchPolicy {
  const { maxBatchSize = 0, dynamicBatching, sequenceBatching } = config;
  if (sequenceBatching !== undefined) return sequenceBatchPolicyOf(config, sequenceBatching);
  if (maxBatchSize <= 1 || dynamicBatching === undefined) return { maxRows: 1 };
  const maxDelayMs = Number(dynamicBatching.maxQueueDelayMicroseconds ?? 0) / 1_000;
  return {
    maxRows: maxBatchSize,
    maxDelayMs,
    // A delay that was asked for is kept, whoever else is on the way: batches are then of the sizes that Triton's have.
    waitAlone: maxDelayMs > 0,
    preferredRows: dynamicBatching.preferredBatchSize ?? [],
  };
}
