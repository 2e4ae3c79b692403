import { FadingMean } from "./fading-mean.ts";

/** What a service did within this time says what it will do now. */
const shortestFadeMs = 30_000;
/**
 * A slow service tells little in that time, while every slot is taken: it has the time of this many answers, twice as many as a mean keeps.
 */
const fadeAnswers = 40;

/**
 * How long a new request would wait for its turn, from what was measured: how long a slot is held by one request, as a mean that
 * forgets. By Little's law a service with c slots, each held for h, finishes c / h requests a millisecond, whatever it does with them in
 * the meantime, batching included; so the k-th in the queue waits k × h / c.
 *
 * It is measured only while every slot is taken. What was measured in a busy hour therefore fades with time, too: after a quiet one nothing is
 * known, and nobody is refused for it, until about ten were measured anew.
 */
export class WaitEstimate {
  readonly #concurrency: number;
  readonly #now: () => number;
  readonly #held = new FadingMean();
  readonly #answer = new FadingMean();

  /** @param now - milliseconds on a steady clock */
  constructor(concurrency: number, now: () => number = () => performance.now()) {
    this.#concurrency = concurrency;
    this.#now = now;
  }

  /** How long a request holds its slot, in milliseconds; 0 where that is not known. */
  get heldMs(): number {
    return this.#held.at(this.#now(), this.#fadeMs);
  }

  /** How long one answer takes, in milliseconds; 0 as above. A stream's deadline is not for all of it, so streams do not count here. */
  get answerMs(): number {
    return this.#answer.at(this.#now(), this.#fadeMs);
  }

  /** Takes in how long a request held its slot, and whether that was for one answer or a stream. */
  observe(heldMs: number, isOneAnswer = true): void {
    const now = this.#now();
    const fadeMs = this.#fadeMs;
    if (isOneAnswer) this.#answer.add(heldMs, now, fadeMs);
    this.#held.add(heldMs, now, fadeMs);
  }

  /** How long a request would wait that comes behind `waiting` others, where every slot is taken. */
  waitMs(waiting: number): number {
    return ((waiting + 1) * this.heldMs) / this.#concurrency;
  }

  get #fadeMs(): number {
    return Math.max(shortestFadeMs, (fadeAnswers * this.#held.last) / this.#concurrency);
  }
}
