/** Time as the batcher sees it, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds on a steady clock. */
  now(): number;
  /** Calls back after a time. @returns takes the call back */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back when everything that has already arrived is handed in. */
  soon(callback: () => void): void;
}

/** The real time. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
  soon: (callback) => {
    setImmediate(callback);
  },
};
