import type { Due, DueList } from "../../engine/deadlines.ts";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { ModelRequest } from "../model-request.ts";
import type { Correlation, CorrelationId } from "./correlation.ts";

/** A request that waits for those of its sequence that came before. */
export interface WaitingRequest {
  readonly request: ModelRequest;
  readonly context: CallContext;
  readonly correlation: Correlation;
  readonly resolve: (outputs: NamedArrays) => void;
  readonly reject: (reason: unknown) => void;
  /** Told when nobody wants its answer any more; only while it waits here. */
  readonly onAbort: () => void;
}

/** One sequence, from its first request until it is over. */
export class Sequence implements Due<Sequence> {
  readonly id: CorrelationId;
  /** In their order. */
  readonly waiting: WaitingRequest[] = [];
  /** What the last run left; undefined before the first one. */
  states: NamedArrays | undefined;
  /** Whether it is under way, or waits for a place. */
  hasSlot = false;
  /** Whether one of its requests is with the model. */
  running = false;
  /** Whether no more requests come: its last one is here, or it was given up. */
  ended = false;
  dueAt = 0;
  dueList: DueList<Sequence> | undefined;
  dueBefore: Sequence | undefined;
  dueAfter: Sequence | undefined;
  readonly #onDue: (sequence: Sequence) => void;

  /** @param onDue - told when it has waited for a place, or been idle, for too long */
  constructor(id: CorrelationId, onDue: (sequence: Sequence) => void) {
    this.id = id;
    this.#onDue = onDue;
  }

  /** Takes the next request out of the line. */
  take(): WaitingRequest | undefined {
    const next = this.waiting.shift();
    next?.context.unwatchAbort(next.onAbort);
    return next;
  }

  /** Refuses a request that waits, and all behind it. @returns how many */
  cut(first: number, reason: () => unknown): number {
    const refused = this.waiting.splice(first);
    for (const { context, onAbort, reject } of refused) {
      context.unwatchAbort(onAbort);
      reject(context.abortReason ?? reason());
    }
    return refused.length;
  }

  expire(): void {
    this.#onDue(this);
  }
}

/** What the requests are told that waited behind one that was cancelled. */
export function cutOff(): InferenceError {
  return new InferenceError("CANCELLED", "an earlier request of its sequence was cancelled, so that the sequence has ended");
}
