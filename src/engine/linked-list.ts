/**
 * A place in a {@link LinkedList}; for the list alone, and for whoever leaves it. Of a class: V8 may decide to put what a literal makes into old memory
 * (allocation-site pretenuring), and what has left such a place would then be kept until old memory is looked at, the whole request with it.
 */
export class ListPlace<T> {
  readonly value: T;
  before: ListPlace<T> | undefined;
  after: ListPlace<T> | undefined;
  gone = false;

  constructor(value: T, before: ListPlace<T> | undefined) {
    this.value = value;
    this.before = before;
  }
}

/**
 * First come, first served, and leaving from anywhere in constant time. Not a Set: one that things come to and leave all the time is copied into a
 * new table again and again, and each dead table leads to the next one and to what was in it.
 */
export class LinkedList<T> {
  #first: ListPlace<T> | undefined;
  #last: ListPlace<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** Goes on while what it has given leaves. */
  *[Symbol.iterator](): Generator<T> {
    for (let place = this.#first; place !== undefined;) {
      const { value, after } = place;
      yield value;
      place = after;
    }
  }

  /** Adds to the end. @returns the place, by which it leaves */
  add(value: T): ListPlace<T> {
    const place = new ListPlace(value, this.#last);
    if (this.#last === undefined) this.#first = place;
    else this.#last.after = place;
    this.#last = place;
    this.#size += 1;
    return place;
  }

  /** Takes out what is there. */
  remove(place: ListPlace<T>): void {
    if (place.gone) return;
    place.gone = true;
    const { before, after } = place;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    // What has left leads nowhere.
    place.before = place.after = undefined;
    this.#size -= 1;
  }
}
