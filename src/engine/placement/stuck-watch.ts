import type { CallContext } from "../../service/call-context.ts";
import type { RemoteStream } from "./remote-stream.ts";

/** A call in a worker, as far as a {@link StuckWatch} cares. */
export interface WatchedCall {
  readonly context: CallContext;
  readonly stream: RemoteStream | undefined;
  /** Whether the worker said that it has begun with it, although others ran. */
  readonly begun: boolean;
  /** Whether it was given up and the worker has not heard of it yet. */
  untold: boolean;
}

/** What a {@link StuckWatch} watches. */
export interface StuckWatchOptions {
  /** What is in the worker, in the order in which it was sent there. */
  readonly calls: { values(): Iterable<WatchedCall> };
  readonly killAfterMs: number;
  readonly kill: (why: string) => void;
  /** Called when the worker is not `blocked` any more. */
  readonly onUnblocked: () => void;
}

/** The longest time that a timer can wait. */
export const longestTimerMs: number = 2 ** 31 - 1;

/**
 * Has a worker killed that is stuck: everything that it has begun was given up, and for `killAfterMs` none of that has ended. Which of several
 * calls it is that holds a worker nobody can tell from outside; so as long as one of them is wanted the worker is left to it, which that call's
 * deadline bounds.
 */
export class StuckWatch {
  readonly #options: StuckWatchOptions;
  /** Calls that nobody waits for any more. */
  #givenUp = 0;
  /** Those of them of which the worker has not heard yet. */
  #untold = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: StuckWatchOptions) {
    this.#options = options;
  }

  /** Whether the worker's loop seems to hang in calls that nobody waits for: what was sent to it now would share their fate. */
  get blocked(): boolean {
    return this.#timer !== undefined && this.#untold > 0;
  }

  /** A call was given up, and the worker was sent word of it. */
  gaveUp(call: WatchedCall): void {
    call.untold = true;
    this.#givenUp += 1;
    this.#untold += 1;
    this.look();
  }

  /** The worker has heard that a call was given up. */
  told(call: WatchedCall): void {
    if (!call.untold) return;
    const wasBlocked = this.blocked;
    call.untold = false;
    this.#untold -= 1;
    this.look();
    this.#tellUnblocked(wasBlocked);
  }

  /** A call has ended, and is not among `calls` any more. */
  ended(call: WatchedCall): void {
    if (this.#givenUp === 0) return;
    const wasBlocked = this.blocked;
    if (call.context.abortReason !== undefined) this.#givenUp -= 1;
    if (call.untold) this.#untold -= 1;
    // The worker gets on: what is left has the whole time anew.
    this.stop();
    this.look();
    this.#tellUnblocked(wasBlocked);
  }

  /** To be called when a call has begun, or a stream is asked for an item. */
  look(): void {
    if (this.#givenUp === 0) return;
    if (!this.#isStuck()) {
      this.stop();
      return;
    }
    const { killAfterMs, kill } = this.#options;
    const waitMs = Math.min(killAfterMs, longestTimerMs);
    this.#timer ??= setTimeout(() => {
      kill(`a call went on for ${waitMs} ms after it was given up (killAfterMs)`);
    }, waitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tellUnblocked(wasBlocked: boolean): void {
    if (wasBlocked && !this.blocked) this.#options.onUnblocked();
  }

  #isStuck(): boolean {
    let isFirst = true;
    let anyGivenUp = false;
    for (const { context, stream, begun } of this.#options.calls.values()) {
      // They begin in their order, so one that stands behind others says so when it begins.
      if (!isFirst && !begun) continue;
      isFirst = false;
      if (context.abortReason !== undefined) anyGivenUp = true;
      // Whoever reads a stream may hold an item for as long as he likes; that must not keep a worker that hangs.
      else if (stream === undefined || stream.isAsked || this.#untold === 0) return false;
    }
    return anyGivenUp;
  }
}
