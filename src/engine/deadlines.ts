/** Something whose time can be over. The fields are for {@link Deadlines} alone: a list through the things themselves costs no memory. */
export interface Due<D extends Due<D>> {
  /** When its time is over (`performance.now()`). */
  dueAt: number;
  dueList: DueList<D> | undefined;
  dueBefore: D | undefined;
  dueAfter: D | undefined;
  /** Told once, unless it was taken back before. */
  expire(): void;
}

/** A longer timer would fire at once. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * Many deadlines of few durations. Those of one duration fall due in the order in which they were set, so one timer watches the
 * first of them: nearly every request is done long before its deadline, and a timer made and cleared for each costs more than the
 * request's own bookkeeping.
 */
export class Deadlines<D extends Due<D>> {
  readonly #usualMs: number;
  readonly #lists = new Map<number, DueList<D>>();
  #usual: DueList<D> | undefined;

  /** @param usualMs - the duration of nearly all: its timer stays while it watches nothing, for the next one */
  constructor(usualMs: number) {
    this.#usualMs = usualMs;
  }

  /** All that are set, at rest ones included. */
  *[Symbol.iterator](): Generator<D> {
    for (const list of this.#lists.values()) yield* list;
  }

  /** Calls `due.expire()` in `ms` milliseconds; of one that is set already, from now on anew. */
  set(due: D, ms: number, now: number = performance.now()): void {
    if (due.dueList !== undefined) this.clear(due);
    due.dueAt = now + ms;
    const list = ms === this.#usualMs ? (this.#usual ??= this.#listOf(ms)) : this.#listOf(ms);
    list.add(due);
  }

  /** Stops the clock, until it is set or cleared. */
  rest(due: D): void {
    this.set(due, Infinity);
  }

  /** Takes a deadline back. */
  clear(due: D): void {
    const list = due.dueList;
    if (list === undefined) return;
    list.remove(due);
    if (list.size === 0 && list.ms !== this.#usualMs) list.end();
  }

  #listOf(ms: number): DueList<D> {
    let list = this.#lists.get(ms);
    if (list === undefined) {
      const made = new DueList<D>(ms, () => {
        // Another one of this duration may have been made while this one told its last.
        if (this.#lists.get(ms) === made) this.#lists.delete(ms);
        if (this.#usual === made) this.#usual = undefined;
      });
      this.#lists.set(ms, made);
      list = made;
    }
    return list;
  }
}

/** The deadlines of one duration, the next one first. */
class DueList<D extends Due<D>> {
  readonly ms: number;
  size = 0;
  readonly #onEnd: () => void;
  #first: D | undefined;
  #last: D | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, onEnd: () => void) {
    this.ms = ms;
    this.#onEnd = onEnd;
    this.#timer = ms === Infinity ? undefined : this.#watch(ms);
  }

  *[Symbol.iterator](): Generator<D> {
    for (let due = this.#first; due !== undefined; due = due.dueAfter) yield due;
  }

  add(due: D): void {
    due.dueList = this;
    due.dueBefore = this.#last;
    if (this.#last === undefined) this.#first = due;
    else this.#last.dueAfter = due;
    this.#last = due;
    this.size += 1;
  }

  remove(due: D): void {
    const { dueBefore, dueAfter } = due;
    if (dueBefore === undefined) this.#first = dueAfter;
    else dueBefore.dueAfter = dueAfter;
    if (dueAfter === undefined) this.#last = dueBefore;
    else dueAfter.dueBefore = dueBefore;
    due.dueList = due.dueBefore = due.dueAfter = undefined;
    this.size -= 1;
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#onEnd();
  }

  /** Unreferenced: what keeps a process alive is its listener or its work, not that a deadline was once set. */
  #watch(ms: number): NodeJS.Timeout {
    const fire = (): void => {
      this.#fire();
    };
    return setTimeout(fire, Math.min(ms, longestTimerMs)).unref();
  }

  #fire(): void {
    for (let due = this.#first; due !== undefined; due = this.#first) {
      const restMs = due.dueAt - performance.now();
      if (restMs > 0) {
        this.#timer = this.#watch(Math.ceil(restMs));
        return;
      }
      this.remove(due);
      due.expire();
    }
    this.end();
  }
}

export type { DueList };
