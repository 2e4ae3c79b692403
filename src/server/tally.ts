import type { StatisticDuration } from "../protocol/model-info.ts";

/** Counts one kind of duration. */
export class Tally {
  #count = 0;
  #ms = 0;

  add(ms: number): void {
    this.#count += 1;
    this.#ms += ms;
  }

  get duration(): StatisticDuration {
    return { count: this.#count, ns: Math.round(this.#ms * 1e6) };
  }
}
