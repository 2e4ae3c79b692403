import { ServableError } from "../errors.ts";
import { onAbort } from "./on-abort.ts";
import type { ResolvedCall } from "./options.ts";

/** Longer delays overflow the timers of every host and fire at once. */
export const longestTimerMs: number = 2 ** 31 - 1;

/** What ends one call before its time: its time-out, its caller's signal, or the loop over its stream being left. */
export class CallClock {
  readonly #controller = new AbortController();
  readonly #call: ResolvedCall;
  readonly #label: string;
  readonly #startedAt = performance.now();
  readonly #cleanUps: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param label - what is called, for messages */
  constructor(call: ResolvedCall, label: string) {
    this.#call = call;
    this.#label = label;
    const { signal } = call;
    if (signal !== undefined)
      this.onClose(onAbort(signal, () => this.#stop("cancelled", `The call to ${label} was cancelled.`, signal.reason)));
    this.arm();
  }

  /** Aborted when the call ends early; its reason is the error that the call then gives. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the call ended early; undefined while it has not. */
  get error(): ServableError | undefined {
    const reason: unknown = this.signal.reason;
    return ServableError.isInstance(reason) ? reason : undefined;
  }

  /** What is left of the time for the whole answer, in milliseconds. */
  get remainingMs(): number {
    return Math.max(0, this.#call.timeoutMs - (performance.now() - this.#startedAt));
  }

  /** Starts the time-out anew. */
  arm(): void {
    this.disarm();
    const { timeoutMs } = this.#call;
    if (timeoutMs > longestTimerMs || this.signal.aborted) return;
    this.#timer = setTimeout(() => this.#stop("deadline_exceeded", `${this.#label} gave no answer within ${timeoutMs} ms.`), timeoutMs);
  }

  /** Halts the time-out, while it is the caller that takes time. */
  disarm(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the call: nobody wants its answer any more. */
  leave(): void {
    this.#stop("cancelled", `The call to ${this.#label} was cancelled: its stream was left.`);
  }

  /** Has `cleanUp` run when the call is over. */
  onClose(cleanUp: () => void): void {
    this.#cleanUps.push(cleanUp);
  }

  /** Says that the call is over, whatever its outcome. */
  close(): void {
    this.disarm();
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp();
  }

  /** Waits for `work` no longer than the call lasts: not every fetch, nor every body, heeds its signal. */
  race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
  }

  /** Waits, unless the call ends first. */
  async sleep(delayMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.race(new Promise<void>((resolve) => (timer = setTimeout(resolve, delayMs))));
    } finally {
      clearTimeout(timer);
    }
  }

  #stop(code: "cancelled" | "deadline_exceeded", message: string, cause?: unknown): void {
    this.#controller.abort(new ServableError(code, message, { requestId: this.#call.requestId, cause }));
    this.close();
  }
}
