/** How much the newest measurement counts. With 1/20 the estimate follows a change within some twenty requests. */
const newestShare = 0.05;
/** A slow first call or two (code that is compiled, a connection that is made) say nothing about those to come. */
const leastMeasured = 10;

/**
 * How long a new request would wait for its turn, from what was measured: how long a slot is held by one request, as a mean that
 * forgets. By Little's law a service with c slots, each held for h, finishes c / h requests a millisecond, whatever it does with them in
 * the meantime, batching included; so the k-th in the queue waits k × h / c.
 */
export class WaitEstimate {
  readonly #concurrency: number;
  #count = 0;
  #heldMs = 0;
  #answerMs = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** How long a request holds its slot, in milliseconds; 0 before ten were measured. */
  get heldMs(): number {
    return this.#count < leastMeasured ? 0 : this.#heldMs;
  }

  /** How long one answer takes, in milliseconds; 0 as above. A stream's deadline is not for all of it, so streams do not count here. */
  get answerMs(): number {
    return this.#count < leastMeasured ? 0 : this.#answerMs;
  }

  /** Takes in how long a request held its slot, and whether that was for one answer or a stream. */
  observe(heldMs: number, isOneAnswer = true): void {
    this.#count += 1;
    if (isOneAnswer) this.#answerMs += (heldMs - this.#answerMs) * Math.max(newestShare, 1 / this.#count);
    // The first ones count alike: there is nothing yet that could be forgotten.
    this.#heldMs += (heldMs - this.#heldMs) * Math.max(newestShare, 1 / this.#count);
  }

  /** How long a request would wait that comes behind `waiting` others, where every slot is taken. */
  waitMs(waiting: number): number {
    return ((waiting + 1) * this.heldMs) / this.#concurrency;
  }
}
