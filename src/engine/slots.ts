/** A number holds its slot in the lower digits, and how often that was taken in the upper ones. */
const mostSlots = 2 ** 20;

/**
 * Things by number, few at a time and always others: what is under way in a worker. Not a Map, for the reason that {@link LinkedList} is no Set. A number
 * is not given twice.
 */
export class Slots<T> {
  readonly #values: (T | undefined)[] = [];
  readonly #ids: number[] = [];
  readonly #turns: number[] = [];
  readonly #free: number[] = [];
  #turn = 0;

  get size(): number {
    return this.#values.length - this.#free.length;
  }

  /** @returns its number, from 1 */
  add(value: T): number {
    const slot = this.#free.pop() ?? this.#values.length;
    const id = (this.#ids[slot] ?? slot) + mostSlots;
    this.#values[slot] = value;
    this.#ids[slot] = id;
    this.#turns[slot] = this.#turn += 1;
    return id;
  }

  get(id: number): T | undefined {
    const slot = id % mostSlots;
    return this.#ids[slot] === id ? this.#values[slot] : undefined;
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  delete(id: number): void {
    const slot = id % mostSlots;
    if (this.get(id) === undefined) return;
    this.#values[slot] = undefined;
    this.#free.push(slot);
  }

  /** In the order in which they came. */
  values(): T[] {
    return this.#taken()
      .sort((a, b) => a.turn - b.turn)
      .map(({ value }) => value);
  }

  #taken(): { readonly value: T; readonly turn: number }[] {
    return this.#values.flatMap((value, slot) => (value === undefined ? [] : [{ value, turn: this.#turns[slot] ?? 0 }]));
  }

  clear(): void {
    for (const id of [...this.#ids]) this.delete(id);
  }
}
