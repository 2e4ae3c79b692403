/** When a crashed worker starts again. */
export type RestartDecision = { readonly restart: true; readonly delayMs: number } | { readonly restart: false };

const windowMs = 60_000;
const deathsOfLoop = 5;
const firstDelayMs = 100;
const longestDelayMs = 5_000;

/**
 * Decides how a crashed worker starts again: at once if it had finished a request; after a growing pause if it died before
 * that; not at all when that happened five times in 60 s.
 */
export class RestartPolicy {
  #earlyDeaths: number[] = [];

  /** @param now - milliseconds on any steady clock */
  decide(finishedARequest: boolean, now: number): RestartDecision {
    if (finishedARequest) {
      this.#earlyDeaths = [];
      return { restart: true, delayMs: 0 };
    }
    this.#earlyDeaths = [...this.#earlyDeaths.filter((at) => now - at < windowMs), now];
    const deaths = this.#earlyDeaths.length;
    if (deaths >= deathsOfLoop) return { restart: false };
    return { restart: true, delayMs: Math.min(firstDelayMs * 2 ** (deaths - 1), longestDelayMs) };
  }
}
