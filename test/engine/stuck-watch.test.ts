import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RemoteStream } from "../../src/engine/placement/remote-stream.ts";
import { StuckWatch, type WatchedCall } from "../../src/engine/placement/stuck-watch.ts";
import { Slots } from "../../src/engine/slots.ts";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";

interface Call extends WatchedCall {
  stream: RemoteStream | undefined;
  begun: boolean;
}

/** A worker whose calls do as they are told. */
class Bench {
  readonly killed: string[] = [];
  unblocked = 0;
  readonly #calls = new Slots<Call>();
  readonly #ids = new Map<Call, number>();
  readonly watch: StuckWatch;

  constructor() {
    const kill = (why: string): void => void this.killed.push(why);
    this.watch = new StuckWatch({ calls: this.#calls, killAfterMs: 100, kill, onUnblocked: () => (this.unblocked += 1) });
  }
  add(): Call {
    const call: Call = { context: new CallContext(), stream: undefined, begun: false, untold: false };
    this.#ids.set(call, this.#calls.add(call));
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
    this.#calls.delete(this.#ids.get(call) ?? 0);
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

  test("also where one came after it that has the place of one before it", () => {
    const [first, stuck] = [bench.add(), bench.add()];
    bench.end(first);
    bench.add();
    bench.giveUp(stuck);
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

  test("when one that has come before is wanted, though others have come and gone meanwhile", () => {
    const [gone, wanted, another] = [bench.add(), bench.add(), bench.add()];
    bench.begin(wanted);
    bench.end(gone);
    bench.end(another);
    const late = [bench.add(), bench.add()];
    for (const call of late) bench.giveUp(call);
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
