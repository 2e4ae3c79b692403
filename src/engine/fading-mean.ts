/** With so many measurements behind it, the newest one counts 1/20: a mean follows a change within some twenty of them. */
const most = 20;
/** A slow first call or two (code that is compiled, a connection that is made) say nothing about those to come. */
const least = 10;

/** The mean of what was measured lately. Old measurements lose their weight by the number of those that follow, and by time. */
export class FadingMean {
  #value = 0;
  /** How many measurements the mean is worth, at `#at`. */
  #weight = 0;
  #at = 0;

  /**
   * Takes in a measurement.
   *
   * @param fadeMs - the time in which what was known before loses about two thirds of its weight
   */
  add(value: number, now: number, fadeMs: number): void {
    this.#weight = Math.min(this.#weightAt(now, fadeMs) + 1, most);
    this.#at = now;
    // The first ones count alike: there is nothing yet that could be forgotten.
    this.#value += (value - this.#value) / this.#weight;
  }

  /** The mean of what was measured, however long ago. */
  get last(): number {
    return this.#value;
  }

  /** The mean, or 0 where too little is known: before about ten were measured, and when they were too long ago. */
  at(now: number, fadeMs: number): number {
    return Math.round(this.#weightAt(now, fadeMs)) < least ? 0 : this.#value;
  }

  #weightAt(now: number, fadeMs: number): number {
    return this.#weight * Math.exp((this.#at - now) / fadeMs);
  }
}
