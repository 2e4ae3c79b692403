import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Gate, type Waiter } from "../../src/engine/gate.ts";

function waiter(order: string[] = [], name = "w"): Waiter {
  return { start: () => void order.push(name) };
}

describe("places", () => {
  test("as many as run and wait together, and no more", () => {
    const gate = new Gate(2, 3);
    expect(Array.from({ length: 7 }, () => gate.enter())).toEqual([true, true, true, true, true, false, false]);
    gate.leave();
    expect(gate.enter()).toBe(true);
    expect(gate.enter()).toBe(false);
    expect(gate.inside).toBe(5);
  });

  test("a queue of 0 takes only what runs", () => {
    const gate = new Gate(1, 0);
    expect([gate.enter(), gate.enter()]).toEqual([true, false]);
  });
});

describe("slots", () => {
  test("first come, first served, also when slots come back one by one", () => {
    const gate = new Gate(2, 10);
    const order: string[] = [];
    for (const name of ["a", "b", "c", "d", "e"]) gate.acquire(waiter(order, name));
    expect(order).toEqual(["a", "b"]);
    gate.release(performance.now());
    expect(order).toEqual(["a", "b", "c"]);
    gate.release(performance.now());
    gate.release(performance.now());
    expect(order).toEqual(["a", "b", "c", "d", "e"]);
    expect([gate.running, gate.waiting]).toEqual([2, 0]);
  });

  test("one who left the queue is passed over, and leaving twice is told", () => {
    const gate = new Gate(1, 10);
    const order: string[] = [];
    const [first, second, third] = [waiter(order, "first"), waiter(order, "second"), waiter(order, "third")];
    for (const one of [first, second, third]) gate.acquire(one);
    expect(gate.forsake(second)).toBe(true);
    expect(gate.forsake(second)).toBe(false);
    expect(gate.forsake(first)).toBe(false);
    gate.release(performance.now());
    expect(order).toEqual(["first", "third"]);
  });

  test("10,000 who each finish at once do not pile up on the stack", () => {
    const gate = new Gate(1, 20_000);
    let started = 0;
    gate.acquire(waiter());
    for (let index = 0; index < 10_000; index += 1) {
      gate.acquire({
        start() {
          started += 1;
          gate.release(performance.now());
        },
      });
    }
    gate.release(performance.now());
    expect(started).toBe(10_000);
    expect([gate.running, gate.waiting]).toEqual([0, 0]);
  });

  test("who gets a slot while another is being given out waits for its turn", () => {
    const gate = new Gate(1, 10);
    const order: string[] = [];
    gate.acquire(waiter(order, "a"));
    gate.acquire({
      start() {
        order.push("b");
        gate.acquire(waiter(order, "d"));
        gate.release(performance.now());
      },
    });
    gate.acquire(waiter(order, "c"));
    gate.release(performance.now());
    expect(order).toEqual(["a", "b", "c"]);
    gate.release(performance.now());
    expect(order).toEqual(["a", "b", "c", "d"]);
    expect([gate.running, gate.waiting]).toEqual([1, 0]);
  });
});

test("whatever the order, counts stay within limits and end at zero", () => {
  type Action = "enter" | "finish" | "forsake";
  const actions = fc.array(fc.tuple(fc.constantFrom<Action>("enter", "finish", "forsake"), fc.nat(50)), { maxLength: 200 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.nat(6), actions, (concurrency, queue, list) => {
      const gate = new Gate(concurrency, queue);
      const waiting: Waiter[] = [];
      const running: Waiter[] = [];
      const startOrder: number[] = [];
      let entered = 0;
      const check = (): void => {
        expect(gate.running).toBe(running.length);
        expect(gate.waiting).toBe(waiting.length);
        expect(gate.running).toBeLessThanOrEqual(concurrency);
        expect(gate.inside).toBeLessThanOrEqual(concurrency + queue);
        expect(gate.inside).toBe(running.length + waiting.length);
        if (waiting.length > 0) expect(gate.running).toBe(concurrency);
      };
      const finish = (index: number): void => {
        running.splice(index % running.length, 1);
        gate.release(performance.now());
        gate.leave();
      };
      for (const [action, pick] of list) {
        if (action === "enter" && gate.enter()) {
          const number = entered++;
          const one: Waiter = {
            start() {
              const place = waiting.indexOf(one);
              if (place !== -1) waiting.splice(place, 1);
              running.push(one);
              startOrder.push(number);
            },
          };
          waiting.push(one);
          gate.acquire(one);
        } else if (action === "finish" && running.length > 0) {
          finish(pick);
        } else if (action === "forsake" && waiting.length > 0) {
          const [one] = waiting.splice(pick % waiting.length, 1);
          expect(gate.forsake(one!)).toBe(true);
          gate.leave();
        }
        check();
      }
      while (running.length > 0) finish(0);
      check();
      expect([gate.inside, gate.running, gate.waiting]).toEqual([0, 0, 0]);
      expect(startOrder).toEqual([...startOrder].sort((a, b) => a - b));
    }),
  );
});
