import { LinkedList, type ListPlace } from "../linked-list.ts";

/** One request in a {@link ItemQueue}. */
export interface QueuedItem<I, O> {
  readonly input: I;
  readonly rows: number;
  readonly key: string;
  readonly priority: number;
  readonly deadline: number;
  readonly enqueuedAt: number;
  /** Whether it must not share a batch: one that it shared has failed. */
  alone: boolean;
  /** Whether nobody waits for its output any more. */
  cancelled: boolean;
  /** Told when it is cancelled while it runs. */
  onCancel: (() => void) | undefined;
  /** Where it waits; the queue's own. */
  place: ListPlace<QueuedItem<I, O>> | undefined;
  resolve(output: O): void;
  reject(reason: unknown): void;
}

/** What could leave now, and what keeps it from growing. */
export interface Candidate<I, O> {
  readonly items: readonly QueuedItem<I, O>[];
  readonly rows: number;
  readonly closedBy: "rows" | "key" | undefined;
}

const none: readonly never[] = [];

/** Requests by priority, first come, first served within each. Adding, and leaving from anywhere, take constant time. */
export class ItemQueue<I, O> {
  readonly #levels = new Map<number, LinkedList<QueuedItem<I, O>>>();
  #order: readonly number[] = [];
  #size = 0;
  #rows = 0;
  readonly #scratch: QueuedItem<I, O>[] = [];
  /** Nobody is late before: as deadlines are seldom reached, those who wait need not be looked at each time. */
  #earliest = Infinity;

  get size(): number {
    return this.#size;
  }
  /** Of all that wait. */
  get rows(): number {
    return this.#rows;
  }

  add(item: QueuedItem<I, O>): void {
    let level = this.#levels.get(item.priority);
    if (level === undefined) {
      this.#levels.set(item.priority, (level = new LinkedList()));
      this.#order = [...this.#levels.keys()].sort((a, b) => a - b);
    }
    item.place = level.add(item);
    this.#size += 1;
    this.#rows += item.rows;
    if (item.deadline < this.#earliest) this.#earliest = item.deadline;
  }

  /** Puts items before all others of their priority. */
  addFirst(items: readonly QueuedItem<I, O>[]): void {
    for (const priority of new Set(items.map((item) => item.priority))) {
      const later = [...(this.#levels.get(priority) ?? [])];
      for (const item of later) this.delete(item);
      for (const item of items) if (item.priority === priority) this.add(item);
      for (const item of later) this.add(item);
    }
  }

  delete(item: QueuedItem<I, O>): boolean {
    const { place } = item;
    const level = this.#levels.get(item.priority);
    if (place === undefined || level === undefined) return false;
    level.remove(place);
    item.place = undefined;
    // Priorities may be any numbers, and a client's: an empty level must not stay. That of most stays, for the next one.
    if (level.size === 0 && item.priority !== 0) {
      this.#levels.delete(item.priority);
      this.#order = this.#order.filter((priority) => priority !== item.priority);
    }
    this.#size -= 1;
    this.#rows -= item.rows;
    return true;
  }

  /** Takes out those whose time is over. */
  takeLate(now: number): readonly QueuedItem<I, O>[] {
    if (now < this.#earliest) return none;
    const late: QueuedItem<I, O>[] = [];
    this.#earliest = Infinity;
    for (const item of this.#items()) {
      if (item.deadline <= now) late.push(item);
      else if (item.deadline < this.#earliest) this.#earliest = item.deadline;
    }
    for (const item of late) this.delete(item);
    return late;
  }

  /** The next batch as it stands: from the first request on, those that share its key and fit. */
  candidate(maxRows: number): Candidate<I, O> {
    const items = this.#scratch;
    items.length = 0;
    let rows = 0;
    let closedBy: Candidate<I, O>["closedBy"];
    let first: QueuedItem<I, O> | undefined;
    for (const item of this.#items()) {
      if (first !== undefined) {
        if (first.alone || item.alone || item.key !== first.key) {
          closedBy ??= "key";
          continue;
        }
        if (rows + item.rows > maxRows) {
          closedBy = "rows";
          break;
        }
      }
      first ??= item;
      items.push(item);
      rows += item.rows;
      if (rows >= maxRows) break;
    }
    // What slice makes is young, whatever V8 thinks of literals (see ListPlace): it lives as long as the batch, and holds all its requests.
    const taken = items.slice();
    items.length = 0;
    return { items: taken, rows, closedBy };
  }

  *#items(): Generator<QueuedItem<I, O>> {
    for (const priority of this.#order) yield* this.#levels.get(priority) ?? [];
  }
}
