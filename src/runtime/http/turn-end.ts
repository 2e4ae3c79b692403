/** A turn may be long where services compute on this thread; what is ready then is not kept for its end. */
const longestWaitMs = 1;

/**
 * Keeps what is to be sent until the event loop's turn ends, and sends it all together. Each write goes through the kernel to a client that it
 * wakes: done one by one between requests, the kernel's code and ours drive one another out of the processor's caches, and a client is
 * woken for each answer. That was a quarter of what a small request cost. A turn with one request loses nothing by it.
 */
export class TurnEnd<T> {
  readonly #send: (item: T) => void;
  readonly #flushAll = (): void => {
    this.#isDue = false;
    this.#flush();
  };
  #waiting: T[] = [];
  #since = 0;
  #isDue = false;

  /** @param send - sends one; must not throw */
  constructor(send: (item: T) => void) {
    this.#send = send;
  }

  add(item: T): void {
    const now = performance.now();
    if (this.#waiting.length === 0) this.#since = now;
    this.#waiting.push(item);
    if (now - this.#since > longestWaitMs) {
      this.#flush();
    } else if (!this.#isDue) {
      this.#isDue = true;
      setImmediate(this.#flushAll);
    }
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const item of waiting) this.#send(item);
  }
}
