import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Deadlines, type Due, type DueList } from "../../src/engine/deadlines.ts";

class Item implements Due<Item> {
  dueAt = 0;
  dueList: DueList<Item> | undefined;
  dueBefore: Item | undefined;
  dueAfter: Item | undefined;
  expiredAt: number | undefined;

  expire(): void {
    this.expiredAt = performance.now();
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("deadlines", () => {
  test("each falls due in its own time, and only those that are still set", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ wait: fc.nat(20), act: fc.constantFrom("set", "clear", "rest"), which: fc.nat(4), ms: fc.constantFrom(5, 30, 50) }),
          { maxLength: 40 },
        ),
        (steps) => {
          const deadlines = new Deadlines<Item>(30);
          const items = Array.from({ length: 5 }, () => new Item());
          const due = new Map<Item, number>();
          const check = (): void => {
            for (const [item, at] of due) {
              if (at > performance.now()) continue;
              expect(item.expiredAt).toBe(at);
              due.delete(item);
            }
          };
          for (const { wait, act, which, ms } of steps) {
            const item = items[which]!;
            item.expiredAt = undefined;
            if (act === "set") {
              deadlines.set(item, ms);
              due.set(item, performance.now() + ms);
            } else {
              if (act === "clear") deadlines.clear(item);
              else deadlines.rest(item);
              due.delete(item);
            }
            vi.advanceTimersByTime(wait);
            check();
            for (const other of items) if (!due.has(other) && other.dueList?.ms !== Infinity) expect(other.dueList).toBeUndefined();
          }
          vi.advanceTimersByTime(60);
          check();
          expect(due.size).toBe(0);
          for (const item of items) deadlines.clear(item);
          expect([...deadlines]).toEqual([]);
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
    );
  });

  test("the usual duration costs one timer, however many there are, and any other one goes with its last", () => {
    const deadlines = new Deadlines<Item>(1_000);
    const items = Array.from({ length: 100 }, () => new Item());
    for (const item of items) deadlines.set(item, 1_000);
    for (const item of items) deadlines.clear(item);
    expect(vi.getTimerCount()).toBe(1);
    deadlines.set(items[0]!, 7);
    expect(vi.getTimerCount()).toBe(2);
    deadlines.clear(items[0]!);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
