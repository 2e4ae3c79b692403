import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Deadlines } from "../../src/engine/deadlines.ts";
import { Execution, type ExecutionHost } from "../../src/engine/execution.ts";
import { Gate } from "../../src/engine/gate.ts";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../src/service/full-service.ts";

const request: EncodedRequest = { contentType: "application/json", body: new Uint8Array() };
const value: EncodedResponse = { kind: "value", mediaType: "application/json", body: "1" };

interface Call {
  readonly context: CallContext;
  finish(response?: EncodedResponse): void;
  fail(thrown: unknown): void;
}

const hosts: Host[] = [];

class Host implements ExecutionHost {
  readonly service = "s";
  readonly gate: Gate;
  readonly deadlines = new Deadlines<Execution>(1000);
  readonly calls: Call[] = [];
  readonly finishedWith: (string | undefined)[] = [];
  lefts = 0;

  constructor(concurrency = 1, queue = 10) {
    this.gate = new Gate(concurrency, queue);
    hosts.push(this);
  }
  run(_request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      this.calls.push({
        context,
        finish(response = value) {
          resolve(response);
        },
        fail(thrown) {
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- services throw anything
          reject(thrown);
        },
      });
    });
  }
  /** What a value is answered with. */
  answer: (input: unknown) => unknown = (input) => input;
  call(input: unknown): unknown {
    return this.answer(input);
  }
  finished(_execution: Execution, error: ServableError | undefined): void {
    this.finishedWith.push(error?.code);
  }
  left(): void {
    this.lefts += 1;
  }
  admit(timeoutMs = 1000): Execution | undefined {
    return this.gate.enter() ? new Execution(this, new CallContext(), timeoutMs) : undefined;
  }
  take(timeoutMs?: number): Execution {
    const execution = this.admit(timeoutMs);
    if (execution === undefined) throw new Error("no place");
    return execution;
  }
  get counts(): readonly number[] {
    return [this.gate.inside, this.gate.running, this.gate.waiting];
  }
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "ok",
    (thrown: unknown) => (thrown as ServableError).code,
  );

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(hosts.flatMap(({ deadlines }) => [...deadlines])).toEqual([]);
  hosts.length = 0;
  // What is left watches nothing, and ends with that.
  vi.runOnlyPendingTimers();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("one value", () => {
  test("runs, answers, and gives slot and place back", async () => {
    const host = new Host();
    const execution = host.take();
    const answer = execution.run(request);
    expect(host.counts).toEqual([1, 1, 0]);
    host.calls[0]?.finish();
    await expect(answer).resolves.toBe(value);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.finishedWith).toEqual([undefined]);
    expect(host.lefts).toBe(1);
    expect(execution.settled).toBe(true);
  });

  test("what the service throws is its failure, whatever it is", async () => {
    for (const thrown of [new Error("x"), "text", undefined, null, 0, Object.create(null)]) {
      const host = new Host();
      const answer = codeOf(host.take().run(request));
      host.calls[0]?.fail(thrown);
      expect(await answer).toBe("service_failed");
      expect(host.counts).toEqual([0, 0, 0]);
    }
  });

  test("a host that throws at once does no harm", async () => {
    const host = new Host();
    host.run = () => {
      throw new ServableError("not_ready", "No.");
    };
    expect(await codeOf(host.take().run(request))).toBe("not_ready");
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("is run once", async () => {
    const host = new Host();
    const execution = host.take();
    const answer = execution.run(request);
    expect(await codeOf(execution.run(request))).toBe("internal");
    host.calls[0]?.finish();
    await answer;
    expect(host.counts).toEqual([0, 0, 0]);
  });
});

describe("deadline", () => {
  test("before the body is there: request_timeout, and the front hears of it", () => {
    const host = new Host();
    const execution = host.take(50);
    const heard: string[] = [];
    execution.onFail = (error) => heard.push(error.code);
    vi.advanceTimersByTime(49);
    expect(heard).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(heard).toEqual(["request_timeout"]);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.finishedWith).toEqual(["request_timeout"]);
  });

  test("a request that failed before its turn is not run", async () => {
    const host = new Host();
    const execution = host.take();
    execution.cancel();
    expect(await codeOf(execution.run(request))).toBe("cancelled");
    expect(host.calls).toEqual([]);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("in the queue: leaves it, and never runs", async () => {
    const host = new Host();
    const first = host.take(1000);
    const running = first.run(request);
    const queued = codeOf(host.take(50).run(request));
    vi.advanceTimersByTime(50);
    expect(await queued).toBe("deadline_exceeded");
    expect(host.counts).toEqual([1, 1, 0]);
    host.calls[0]?.finish();
    await running;
    expect(host.calls).toHaveLength(1);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("while it runs: signal and reason, and the slot stays taken until the work has stopped", async () => {
    const host = new Host(1, 1);
    const execution = host.take(50);
    const answer = codeOf(execution.run(request));
    const next = host.take(10_000).run(request);
    expect(host.admit()).toBeUndefined();
    const [call] = host.calls;
    vi.advanceTimersByTime(50);
    expect(await answer).toBe("deadline_exceeded");
    expect(call?.context.signal.aborted).toBe(true);
    expect(call?.context.signal.reason).toMatchObject({ code: "deadline_exceeded", message: "There was no answer within 50 ms." });
    expect(host.counts).toEqual([2, 1, 1]);
    expect(host.calls).toHaveLength(1);
    call?.finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(host.calls).toHaveLength(2);
    host.calls[1]?.finish();
    await next;
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.finishedWith).toEqual(["deadline_exceeded", undefined]);
  });

  test("an answer or a failure that comes too late changes nothing", async () => {
    for (const late of ["finish", "fail"] as const) {
      const host = new Host();
      const execution = host.take(50);
      const answer = codeOf(execution.run(request));
      vi.advanceTimersByTime(50);
      expect(await answer).toBe("deadline_exceeded");
      if (late === "finish") host.calls[0]?.finish();
      else host.calls[0]?.fail(new Error("late"));
      await vi.advanceTimersByTimeAsync(0);
      execution.cancel();
      expect(host.finishedWith).toEqual(["deadline_exceeded"]);
      expect(host.lefts).toBe(1);
      expect(host.counts).toEqual([0, 0, 0]);
    }
  });

  test("a code that rethrows its signal's reason keeps that reason", async () => {
    const host = new Host();
    const execution = host.take();
    const answer = codeOf(execution.run(request));
    execution.cancel();
    host.calls[0]?.fail(new DOMException("aborted", "AbortError"));
    expect(await answer).toBe("cancelled");
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("a deadline longer than any timer does not fire at once", async () => {
    const host = new Host();
    const answer = host.take(2 ** 40).run(request);
    await vi.advanceTimersByTimeAsync(1000);
    host.calls[0]?.finish();
    await expect(answer).resolves.toBe(value);
  });
});

describe("cancel", () => {
  test("10,000 queued, all cancelled: none runs, and the slot's holder is not disturbed", async () => {
    const host = new Host(1, 10_000);
    const running = host.take().run(request);
    const executions = Array.from({ length: 10_000 }, () => host.take());
    const codes = executions.map((execution) => codeOf(execution.run(request)));
    expect(host.counts).toEqual([10_001, 1, 10_000]);
    for (const execution of executions) execution.cancel();
    expect(host.counts).toEqual([1, 1, 0]);
    expect(new Set(await Promise.all(codes))).toEqual(new Set(["cancelled"]));
    host.calls[0]?.finish();
    await running;
    expect(host.calls).toHaveLength(1);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.lefts).toBe(10_001);
  });

  test("10,000 queued behind one run in order when it ends, though each ends at once", async () => {
    const host = new Host(1, 10_000);
    const first = host.take().run(request);
    const [{ finish } = { finish: () => undefined }] = host.calls;
    const order: string[] = [];
    host.run = (_request, context) => {
      order.push(context.requestId);
      return value as never;
    };
    const executions = Array.from({ length: 10_000 }, () => host.take());
    const answers = executions.map((execution) => execution.run(request));
    finish();
    await first;
    await Promise.all(answers);
    expect(order).toEqual(executions.map(({ requestId }) => requestId));
    expect(host.counts).toEqual([0, 0, 0]);
  });
});

describe("a stream", () => {
  interface Source {
    readonly response: EncodedResponse;
    push(item: string): void;
    end(): void;
    throwUp(thrown: unknown): void;
    asked: number;
    returned: number;
    returning: Promise<void>;
  }

  function createSource(returning: Promise<void> = Promise.resolve()): Source {
    let settle: { resolve(result: IteratorResult<string>): void; reject(thrown: unknown): void } | undefined;
    const source: Source = {
      asked: 0,
      returned: 0,
      returning,
      push: (item) => settle?.resolve({ done: false, value: item }),
      end: () => settle?.resolve({ done: true, value: undefined }),
      throwUp: (thrown) => settle?.reject(thrown),
      response: {
        kind: "stream",
        mediaType: "application/json",
        items: {
          [Symbol.asyncIterator]: () => ({
            next: () => {
              source.asked += 1;
              return new Promise<IteratorResult<string>>((resolve, reject) => {
                settle = { resolve, reject };
              });
            },
            return: async () => {
              source.returned += 1;
              await source.returning;
              return { done: true, value: undefined };
            },
          }),
        },
      },
    };
    return source;
  }

  async function openStream(host: Host, source: Source, timeoutMs = 50): Promise<{ execution: Execution; items: AsyncIterator<unknown> }> {
    const execution = host.take(timeoutMs);
    const answer = execution.run(request);
    host.calls.at(-1)?.finish(source.response);
    const response = await answer;
    if (response.kind !== "stream") throw new Error("not a stream");
    return { execution, items: response.items[Symbol.asyncIterator]() };
  }

  test("holds its slot to the end, counts its items, and asks for none that nobody wants", async () => {
    const host = new Host();
    const source = createSource();
    const { execution, items } = await openStream(host, source);
    expect(source.asked).toBe(0);
    for (const item of ["a", "b"]) {
      const next = items.next();
      source.push(item);
      expect(await next).toEqual({ done: false, value: item });
    }
    expect(source.asked).toBe(2);
    expect(host.counts).toEqual([1, 1, 0]);
    const last = items.next();
    source.end();
    expect(await last).toEqual({ done: true, value: undefined });
    expect(execution.items).toBe(2);
    expect(host.finishedWith).toEqual([undefined]);
    expect(source.returned).toBe(0);
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("late with its first item", async () => {
    const host = new Host();
    const source = createSource();
    const { items } = await openStream(host, source);
    const next = codeOf(items.next());
    await vi.advanceTimersByTimeAsync(50);
    expect(await next).toBe("deadline_exceeded");
    expect(source.returned).toBe(1);
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.finishedWith).toEqual(["deadline_exceeded"]);
  });

  test("is given the deadline anew for each item, and the reader's own time is not counted", async () => {
    const host = new Host();
    const source = createSource();
    const { items } = await openStream(host, source);
    for (let round = 0; round < 4; round += 1) {
      const next = items.next();
      await vi.advanceTimersByTimeAsync(40);
      source.push("x");
      expect(await next).toMatchObject({ done: false });
      await vi.advanceTimersByTimeAsync(500);
    }
    const late = codeOf(items.next());
    await vi.advanceTimersByTimeAsync(50);
    expect(await late).toBe("deadline_exceeded");
    expect(host.finishedWith).toEqual(["deadline_exceeded"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("that its reader leaves is cancelled: signal, return, and the slot held until return is through", async () => {
    const host = new Host();
    let stop = (): void => undefined;
    const source = createSource(
      new Promise((resolve) => {
        stop = resolve;
      }),
    );
    const { items } = await openStream(host, source);
    const next = items.next();
    source.push("a");
    await next;
    await items.return?.();
    expect(source.returned).toBe(1);
    expect(host.calls[0]?.context.abortReason?.code).toBe("cancelled");
    expect(host.finishedWith).toEqual(["cancelled"]);
    expect(host.counts).toEqual([1, 1, 0]);
    stop();
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("that is cancelled while an item is awaited ends at once", async () => {
    const host = new Host();
    const source = createSource();
    const { execution, items } = await openStream(host, source);
    const next = codeOf(items.next());
    await vi.advanceTimersByTimeAsync(0);
    execution.cancel();
    expect(await next).toBe("cancelled");
    await vi.advanceTimersByTimeAsync(0);
    expect(source.returned).toBe(1);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("that is cancelled while its reader holds an item stops there, whether it comes back or not", async () => {
    const host = new Host();
    const source = createSource();
    const { execution, items } = await openStream(host, source);
    const next = items.next();
    source.push("a");
    await next;
    execution.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(source.returned).toBe(1);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(await codeOf(items.next())).toBe("cancelled");
    expect(source.asked).toBe(1);
    expect(source.returned).toBe(1);
    expect(host.finishedWith).toEqual(["cancelled"]);
    expect(host.lefts).toBe(1);
  });

  test("that fails keeps its failure, and settles once", async () => {
    const host = new Host();
    const source = createSource();
    const { execution, items } = await openStream(host, source);
    const next = codeOf(items.next());
    source.throwUp(new Error("boom"));
    expect(await next).toBe("service_failed");
    await vi.advanceTimersByTimeAsync(100);
    execution.cancel();
    expect(host.finishedWith).toEqual(["service_failed"]);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.lefts).toBe(1);
  });

  test("is told once: what fails after it was handed on is told by the stream", async () => {
    const host = new Host();
    const execution = host.take();
    const told: unknown[] = [];
    execution.submit(
      request,
      (response) => told.push(response.kind),
      (error) => told.push(error.code),
    );
    async function* items(): AsyncGenerator<string> {
      yield await Promise.resolve("1");
    }
    host.calls[0]!.finish({ kind: "stream", mediaType: "application/json", items: items() });
    await vi.advanceTimersByTimeAsync(0);
    execution.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toEqual(["stream"]);
  });

  test("that nobody begins to read is ended with the request", async () => {
    const host = new Host();
    const source = createSource();
    const { execution, items } = await openStream(host, source);
    execution.fail(new ServableError("not_acceptable", "No stream."));
    await vi.advanceTimersByTimeAsync(0);
    expect(source.returned).toBe(1);
    expect(source.asked).toBe(0);
    expect(host.counts).toEqual([0, 0, 0]);
    expect(host.finishedWith).toEqual(["not_acceptable"]);
    expect(await codeOf(items.next())).toBe("not_acceptable");
  });

  test("that comes after the deadline is ended unread", async () => {
    const host = new Host();
    const source = createSource();
    const answer = codeOf(host.take(50).run(request));
    await vi.advanceTimersByTimeAsync(50);
    expect(await answer).toBe("deadline_exceeded");
    expect(host.counts).toEqual([1, 1, 0]);
    host.calls[0]?.finish(source.response);
    await vi.advanceTimersByTimeAsync(0);
    expect(source.returned).toBe(1);
    expect(host.counts).toEqual([0, 0, 0]);
  });

  test("whose return fails gives its slot back all the same", async () => {
    const host = new Host();
    const source = createSource();
    source.returning = Promise.reject(new Error("return failed"));
    source.returning.catch(() => undefined);
    const { execution } = await openStream(host, source);
    execution.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(host.counts).toEqual([0, 0, 0]);
  });
});

test("whatever happens in whatever order: never over the limits, one outcome each, and zero at the end", async () => {
  type Action = "admit" | "run" | "finish" | "fail" | "cancel" | "time";
  const action = fc.tuple(fc.constantFrom<Action>("admit", "admit", "run", "run", "finish", "fail", "cancel", "time"), fc.nat(30));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 3 }), fc.nat(4), fc.array(action, { maxLength: 60 }), async (concurrency, queue, list) => {
      const host = new Host(concurrency, queue);
      const fresh: Execution[] = [];
      const begun: Execution[] = [];
      const answers: Promise<unknown>[] = [];
      let admitted = 0;
      const done = new Set<Call>();
      const open = (): Call[] => host.calls.filter((call) => !done.has(call));
      const end = (call: Call | undefined, how: "finish" | "fail"): void => {
        if (call === undefined) return;
        done.add(call);
        if (how === "finish") call.finish();
        else call.fail(new Error("x"));
      };
      for (const [kind, pick] of list) {
        switch (kind) {
          case "admit": {
            const execution = host.admit(20 + pick);
            if (execution === undefined) expect(host.gate.inside).toBe(concurrency + queue);
            else {
              admitted += 1;
              fresh.push(execution);
            }
            break;
          }
          case "run": {
            const [execution] = fresh.splice(pick % Math.max(1, fresh.length), 1);
            if (execution !== undefined) {
              begun.push(execution);
              answers.push(codeOf(execution.run(request)));
            }
            break;
          }
          case "finish":
          case "fail":
            end(open()[pick % Math.max(1, open().length)], kind);
            break;
          case "cancel":
            [...fresh, ...begun][pick % Math.max(1, fresh.length + begun.length)]?.cancel();
            break;
          case "time":
            await vi.advanceTimersByTimeAsync(pick);
        }
        await vi.advanceTimersByTimeAsync(0);
        const [inside = -1, running = -1, waiting = -1] = host.counts;
        expect(running).toBeGreaterThanOrEqual(0);
        expect(running).toBeLessThanOrEqual(concurrency);
        expect(running).toBe(open().length);
        expect(inside).toBeLessThanOrEqual(concurrency + queue);
        expect(inside).toBeGreaterThanOrEqual(running + waiting);
      }
      for (const execution of fresh) execution.cancel();
      while (open().length > 0) {
        end(open()[0], "finish");
        await vi.advanceTimersByTimeAsync(0);
      }
      await Promise.all(answers);
      expect(host.counts).toEqual([0, 0, 0]);
      expect(host.finishedWith).toHaveLength(admitted);
      expect(host.lefts).toBe(admitted);
      expect([...host.deadlines]).toEqual([]);
    }),
    { numRuns: 150 },
  );
});

describe("a value that is run as it is", () => {
  test("is answered with what the service gives, now or later", async () => {
    const host = new Host();
    const input = { any: "thing" };
    expect(await host.take().call(input)).toBe(input);
    host.answer = (given) => Promise.resolve([given]);
    expect(await host.take().call(input)).toEqual([input]);
    expect(host).toMatchObject({ lefts: 2, finishedWith: [undefined, undefined], gate: { inside: 0, running: 0 } });
  });

  test("waits for a slot, and fails as bytes do", async () => {
    const host = new Host(1);
    const first = host.take();
    let finish: (value: string) => void = () => undefined;
    host.answer = () => new Promise<string>((resolve) => (finish = resolve));
    const answer = first.call(1);
    const second = host.take();
    const failing = second.call(2);
    second.cancel();
    await expect(failing).rejects.toMatchObject({ code: "cancelled" });
    finish("done");
    expect(await answer).toBe("done");
    host.answer = () => {
      throw new Error("broken");
    };
    await expect(host.take().call(3)).rejects.toMatchObject({ code: "service_failed" });
    expect(host.gate).toMatchObject({ inside: 0, running: 0 });
  });

  test("may be answered with a stream, which holds its slot until it is read", async () => {
    const host = new Host();
    host.answer = async function* () {
      yield 1;
      yield 2;
    };
    const items: unknown[] = [];
    for await (const item of (await host.take().call("x")) as AsyncIterable<unknown>) items.push(item);
    expect(items).toEqual([1, 2]);
    expect(host.gate.running).toBe(0);
  });
});
