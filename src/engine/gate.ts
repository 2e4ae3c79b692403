import { LinkedList, type ListPlace } from "./linked-list.ts";
import { WaitEstimate } from "./wait-estimate.ts";

/** Someone who waits for a slot. */
export interface Waiter {
  /** Where it waits; the gate's own. */
  place?: ListPlace<Waiter> | undefined;
  /** Called once, with the slot taken. */
  start(): void;
}

/**
 * Counts what one service has in hand: `concurrency` slots for what runs, and room for `queue` more. Whatever is admitted
 * takes a place until it leaves, so a slow upload counts, too.
 */
export class Gate {
  readonly #concurrency: number;
  readonly #capacity: number;
  readonly #waiting = new LinkedList<Waiter>();
  readonly #estimate: WaitEstimate;
  #inside = 0;
  #running = 0;
  /** Places of lists, which never ask for a slot. */
  #lists = 0;
  #handingOut = false;

  constructor(concurrency: number, queue: number) {
    this.#concurrency = concurrency;
    this.#capacity = concurrency + queue;
    this.#estimate = new WaitEstimate(concurrency);
  }

  /** Everything admitted and not yet gone. */
  get inside(): number {
    return this.#inside;
  }
  /** What holds a slot. */
  get running(): number {
    return this.#running;
  }
  /** What waits for a slot. */
  get waiting(): number {
    return this.#waiting.size;
  }
  /** Slots that nobody holds. */
  get free(): number {
    return this.#concurrency - this.#running;
  }
  /** Requests that were admitted and hold no slot: their bodies still come, or they queue. */
  get toCome(): number {
    return this.#inside - this.#lists - this.#running;
  }

  /** How long a new request would wait for a slot, as far as that was measured; 0 while one is free. */
  get expectedWaitMs(): number {
    return this.#running < this.#concurrency ? 0 : this.#estimate.waitMs(this.#waiting.size);
  }
  /** How long one answer takes while all slots are taken; 0 before that was measured. */
  get answerMs(): number {
    return this.#estimate.answerMs;
  }

  /**
   * Takes a place, if there is one.
   *
   * @param beyond - also where there is none: for an item of a list, while the list keeps a place of its own
   */
  enter(beyond = false): boolean {
    if (this.#inside >= this.#capacity && !beyond) return false;
    this.#inside += 1;
    return true;
  }

  /** Gives a place back. */
  leave(): void {
    this.#inside -= 1;
  }

  /** Takes a place for a list, which asks for no slot itself. */
  enterList(): boolean {
    const entered = this.enter();
    if (entered) this.#lists += 1;
    return entered;
  }

  /** Gives a list's place back. */
  leaveList(): void {
    this.#lists -= 1;
    this.leave();
  }

  /** Takes a slot now, or queues for one: first come, first served. */
  acquire(waiter: Waiter): void {
    if (this.#running < this.#concurrency && this.#waiting.size === 0) {
      this.#running += 1;
      waiter.start();
    } else {
      waiter.place = this.#waiting.add(waiter);
    }
  }

  /** Leaves the queue. @returns false where the waiter was not in it */
  forsake(waiter: Waiter): boolean {
    const { place } = waiter;
    if (place === undefined) return false;
    this.#waiting.remove(place);
    waiter.place = undefined;
    return true;
  }

  /**
   * Gives a slot back; the next in the queue gets it.
   *
   * @param since - when it was taken (`performance.now()`)
   * @param isOneAnswer - or a stream
   */
  release(since: number, isOneAnswer = true): void {
    if (this.#running === this.#concurrency) this.#estimate.observe(performance.now() - since, isOneAnswer);
    this.pass();
  }

  /** Gives a slot back with which nothing was done. */
  pass(): void {
    this.#running -= 1;
    // What starts may end at once and come back here. The loop goes on with it then: a recursion would grow with the queue.
    if (this.#handingOut) return;
    this.#handingOut = true;
    try {
      while (this.#running < this.#concurrency) {
        const next = this.#waiting.first;
        if (next === undefined) break;
        this.forsake(next);
        this.#running += 1;
        next.start();
      }
    } finally {
      this.#handingOut = false;
    }
  }
}
