import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LinkedList, type ListPlace } from "../../src/engine/linked-list.ts";
import { Slots } from "../../src/engine/slots.ts";

describe("a linked list", () => {
  test("holds what a Set would, in the same order, whatever comes and goes", () => {
    const steps = fc.array(fc.oneof(fc.constant("add" as const), fc.nat(30)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (all) => {
        const list = new LinkedList<number>();
        const set = new Set<number>();
        const places = new Map<number, ListPlace<number>>();
        let next = 0;
        for (const step of all) {
          if (step === "add") {
            places.set(next, list.add(next));
            set.add(next);
            next += 1;
          } else {
            const value = [...set][step];
            const place = value === undefined ? undefined : places.get(value);
            if (value === undefined || place === undefined) continue;
            list.remove(place);
            set.delete(value);
          }
          expect([...list]).toEqual([...set]);
          expect([list.size, list.first]).toEqual([set.size, [...set][0]]);
        }
      }),
    );
  });

  test("what has left leads nowhere, or it would keep what came after it", () => {
    const list = new LinkedList<string>();
    const [a, b] = [list.add("a"), list.add("b")];
    list.add("c");
    list.remove(b);
    list.remove(a);
    expect([a.before, a.after, b.before, b.after]).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("goes on while what it gave leaves", () => {
    const list = new LinkedList<string>();
    const places = new Map(["a", "b", "c"].map((value) => [value, list.add(value)]));
    const seen: string[] = [];
    for (const value of list) {
      seen.push(value);
      const place = places.get(value);
      if (place !== undefined) list.remove(place);
    }
    expect([seen, list.size]).toEqual([["a", "b", "c"], 0]);
  });
});

describe("slots", () => {
  test("hold what a Map would, in the same order, under numbers that are never given twice", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant("add" as const), fc.nat(20)), { maxLength: 200 }), (all) => {
        const slots = new Slots<string>();
        const map = new Map<number, string>();
        const given = new Set<number>();
        for (const step of all) {
          if (step === "add") {
            const id = slots.add(`value ${given.size}`);
            expect(given.has(id)).toBe(false);
            map.set(id, `value ${given.size}`);
            given.add(id);
          } else {
            const id = [...given][step] ?? 7;
            slots.delete(id);
            map.delete(id);
          }
          for (const id of given) expect(slots.get(id)).toBe(map.get(id));
          expect([slots.size, slots.values()]).toEqual([map.size, [...map.values()]]);
        }
        slots.clear();
        expect([slots.size, slots.values()]).toEqual([0, []]);
      }),
    );
  });
});
