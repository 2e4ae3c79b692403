/** What a request says of the sequence that it belongs to. */
import { InferenceError } from "../../protocol/inference-error.ts";
import type { InferParameter, InferRequest } from "../../protocol/inference.ts";

/** Names a sequence. As for Triton 5 and "5" are two; 64-bit integers beyond 2^53 are bigints. */
export type CorrelationId = number | bigint | string;

/** One request's place in its sequence. */
export interface Correlation {
  readonly id: CorrelationId;
  readonly start: boolean;
  readonly end: boolean;
}

/**
 * Reads the parameters `sequence_id`, `sequence_start` and `sequence_end`.
 *
 * @throws InferenceError `INVALID_ARG`
 */
export function correlationOf({ parameters }: InferRequest, model: string): Correlation {
  const id = idOf(parameters.sequence_id);
  // As for Triton, 0 and "" say that there is none.
  if (id === 0 || id === "") {
    throw new InferenceError("INVALID_ARG", `inference request to model '${model}' must specify a non-zero or non-empty correlation ID`);
  }
  return { id, start: flagOf("sequence_start", parameters.sequence_start), end: flagOf("sequence_end", parameters.sequence_end) };
}

function idOf(value: InferParameter | undefined): CorrelationId {
  if (value === undefined || typeof value === "string") return value ?? 0;
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    // gRPC has a signed integer for it, which Triton reads as an unsigned one.
    const whole = BigInt.asUintN(64, BigInt(value));
    return whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole;
  }
  throw new InferenceError("INVALID_ARG", "Unable to parse 'sequence_id': it must be an unsigned 64-bit integer or a string");
}

function flagOf(name: string, value: InferParameter | undefined): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw new InferenceError("INVALID_ARG", `Unable to parse '${name}': it must be a boolean`);
}
