import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RemoteStream } from "../../src/engine/placement/remote-stream.ts";
import { StuckWatch, type WatchedCall } from "../../src/engine/placement/stuck-watch.ts";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";

interface Call extends WatchedCall {
  readonly id: number;
  stream: RemoteStream | undefined;
  begun: boolean;
}

/** A worker whose calls do as they are told. */
class Bench {
  readonly killed: string[] = [];
  unblocked = 0;
  readonly #calls = new Map<number, Call>();
  readonly watch: StuckWatch;

  constructor() {
    const kill = (why: string): void => void this.killed.push(why);
    this.watch = new StuckWatch({ calls: this.#calls, killAfterMs: 100, kill, onUnblocked: () => (this.unblocked += 1) });
  }
  add(): Call {
    const id = this.#calls.size + 1;
    const call: Call = { id, context: new CallContext(), stream: undefined, begun: false, untold: false };
    this.#calls.set(id, call);
    return call;
  }
  begin(call: Call): void {
    call.begun = true;
    this.watch.look();
  }
  giveUp(call: Call): void {
    call.context.abort(new ServableError("cancelled", "Gone."));
    this.watch.gaveUp(call);
  }
  end(call: Call): void {
    this.#calls.delete(call.id);
    this.watch.ended(call);
  }
}

let bench: Bench;
beforeEach(() => {
  vi.useFakeTimers();
  bench = new Bench();
});
afterEach(() => vi.useRealTimers());

describe("a worker is killed", () => {
  test("when its only call was given up and does not end in time", () => {
    bench.giveUp(bench.add());
    vi.advanceTimersByTime(99);
    expect(bench.killed).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(bench.killed).toEqual(["a call went on for 100 ms after it was given up (killAfterMs)"]);
  });

  test("also where others wait behind that call, which have not begun", () => {
    const call = bench.add();
    bench.add();
    bench.giveUp(call);
    vi.advanceTimersByTime(100);
    expect(bench.killed).toHaveLength(1);
  });

  test("also where somebody holds an item of a stream, but not while its loop turns or the next is asked for", () => {
    const paused = bench.add();
    paused.stream = new RemoteStream(
      () => undefined,
      () => undefined,
    );
    const call = bench.add();
    bench.begin(call);
    bench.giveUp(call);
    vi.advanceTimersByTime(99);
    bench.watch.told(call);
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);

    const another = bench.add();
    bench.begin(another);
    bench.giveUp(another);
    vi.advanceTimersByTime(50);
    void paused.stream.next();
    bench.watch.look();
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);
    bench.giveUp(paused);
    vi.advanceTimersByTime(100);
    expect(bench.killed).toHaveLength(1);
  });
});

describe("a worker is left alone", () => {
  test("while another call that it has begun is wanted", () => {
    const [first, second] = [bench.add(), bench.add()];
    bench.begin(second);
    bench.giveUp(first);
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);
    bench.giveUp(second);
    vi.advanceTimersByTime(100);
    expect(bench.killed).toHaveLength(1);
  });

  test("when one that waits was given up, and the one that runs was not", () => {
    bench.add();
    bench.giveUp(bench.add());
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);
  });

  test("when it begins with another one that is wanted", () => {
    const [first, second] = [bench.add(), bench.add()];
    bench.giveUp(first);
    vi.advanceTimersByTime(99);
    bench.begin(second);
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);
  });

  test("when it gets on: each of the calls that are given up has the whole time", () => {
    const calls = [bench.add(), bench.add(), bench.add()];
    for (const call of calls) bench.giveUp(call);
    for (const call of calls) {
      vi.advanceTimersByTime(99);
      bench.end(call);
    }
    vi.advanceTimersByTime(1_000);
    expect(bench.killed).toEqual([]);
  });
});

describe("a worker is blocked", () => {
  test("until it has heard that its call was given up", () => {
    const call = bench.add();
    expect(bench.watch.blocked).toBe(false);
    bench.giveUp(call);
    expect(bench.watch.blocked).toBe(true);
    bench.watch.told(call);
    bench.watch.told(call);
    expect([bench.watch.blocked, bench.unblocked]).toEqual([false, 1]);
    // It did not stop all the same.
    vi.advanceTimersByTime(100);
    expect(bench.killed).toHaveLength(1);
  });

  test("until that call has ended", () => {
    const call = bench.add();
    bench.giveUp(call);
    bench.end(call);
    expect([bench.watch.blocked, bench.unblocked]).toEqual([false, 1]);
  });
});
