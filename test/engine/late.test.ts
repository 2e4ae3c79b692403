import { describe, expect, test } from "vitest";
import { Deadlines, type Due, type DueList } from "../../src/engine/deadlines.ts";
import { Execution, type ExecutionHost } from "../../src/engine/execution.ts";
import { Gate } from "../../src/engine/gate.ts";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../src/service/full-service.ts";

const request: EncodedRequest = { contentType: "application/json", body: new Uint8Array() };
const value: EncodedResponse = { kind: "value", mediaType: "application/json", body: "1" };

function hostOf(run: ExecutionHost["run"], concurrency = 1): ExecutionHost & { readonly deadlines: Deadlines<Execution> } {
  return {
    service: "s",
    gate: new Gate(concurrency, 10),
    deadlines: new Deadlines<Execution>(10_000),
    run,
    call: (given) => given,
    finished: () => undefined,
    left: () => undefined,
  };
}

function admit(host: ExecutionHost, timeoutMs: number): Execution {
  host.gate.enter();
  return new Execution(host, new CallContext(), timeoutMs);
}

test("who waits behind one that holds the loop for too long is told so, and never runs", async () => {
  const ran: string[] = [];
  const host = hostOf(async (_request, { requestId }) => {
    ran.push(requestId);
    await Promise.resolve();
    const end = performance.now() + (ran.length === 1 ? 100 : 0);
    while (performance.now() < end);
    return value;
  });
  const [first, late, patient] = [admit(host, 10_000), admit(host, 50), admit(host, 10_000)];
  const answers = await Promise.allSettled([first, late, patient].map((execution) => execution.run(request)));
  expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(answers[1]).toMatchObject({ reason: { code: "deadline_exceeded" } });
  expect(ran).toEqual([first.requestId, patient.requestId]);
  expect([host.gate.inside, host.gate.running, host.gate.waiting]).toEqual([0, 0, 0]);
});

describe("a stream", () => {
  test("has its deadline anew for each item, and none while it owes nothing", async () => {
    const seen: number[] = [];
    const host = hostOf((_request, context) => {
      async function* items(): AsyncGenerator<string> {
        for (;;) {
          seen.push(context.expiresAt - performance.now());
          await Promise.resolve();
          yield "x";
        }
      }
      return { kind: "stream", mediaType: "application/x-ndjson", items: items() };
    });
    const execution = admit(host, 5_000);
    const response = await execution.run(request);
    if (response.kind !== "stream") throw new Error("no stream");
    const items = response.items[Symbol.asyncIterator]();
    await items.next();
    expect([execution.context.expiresAt, execution.context.deadline]).toEqual([Infinity, Infinity]);
    await items.next();
    await items.next();
    // The first one sees what the admission said, which here is nothing.
    for (const left of seen.slice(1)) expect(Math.abs(left - 5_000)).toBeLessThan(500);
    expect(seen).toHaveLength(3);
    await items.return?.();
    expect([...host.deadlines]).toEqual([]);
  });

  test("that is ended just as an item comes leaves no deadline behind", async () => {
    let give: (result: IteratorResult<string>) => void = () => undefined;
    const promised = new Promise<IteratorResult<string>>((resolve) => (give = resolve));
    const iterator = { next: () => promised, return: () => Promise.resolve({ done: true as const, value: undefined }) };
    const host = hostOf(() => ({ kind: "stream", mediaType: "application/x-ndjson", items: { [Symbol.asyncIterator]: () => iterator } }));
    const execution = admit(host, 5_000);
    const response = await execution.run(request);
    if (response.kind !== "stream") throw new Error("no stream");
    const item = response.items[Symbol.asyncIterator]().next();
    void promised.then(() => {
      execution.fail(new ServableError("cancelled", "Gone."));
    });
    give({ done: false, value: "x" });
    await expect(item).rejects.toMatchObject({ code: "cancelled" });
    expect([...host.deadlines]).toEqual([]);
    expect(host.gate.inside).toBe(0);
  });
});

class Item implements Due<Item> {
  dueAt = 0;
  dueList: DueList<Item> | undefined;
  dueBefore: Item | undefined;
  dueAfter: Item | undefined;
  readonly #onExpire: () => void;
  constructor(onExpire: () => void = () => undefined) {
    this.#onExpire = onExpire;
  }
  expire(): void {
    this.#onExpire();
  }
}

test("a deadline that is set while the last one of its duration is told is not lost sight of", async () => {
  const deadlines = new Deadlines<Item>(10_000);
  const [other, next] = [new Item(), new Item()];
  await new Promise<void>((resolve) => {
    const first = new Item(() => {
      // With this its list is empty, and ends; the next one begins another of the same duration.
      deadlines.clear(other);
      deadlines.set(next, 20);
      resolve();
    });
    deadlines.set(first, 20);
    deadlines.set(other, 20);
  });
  expect([...deadlines]).toEqual([next]);
  deadlines.clear(next);
  expect([...deadlines]).toEqual([]);
});

test("streams hold their slots for long, and do not make a service seem slow to answer", async () => {
  async function* items(): AsyncGenerator<string> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    yield "x";
  }
  const host = hostOf(() => ({ kind: "stream", mediaType: "application/x-ndjson", items: items() }));
  for (let count = 0; count < 12; count += 1) {
    const response = await admit(host, 5_000).run(request);
    if (response.kind !== "stream") throw new Error("no stream");
    for await (const item of response.items) expect(item).toBe("x");
  }
  host.gate.acquire({ start: () => undefined });
  expect(host.gate.expectedWaitMs).toBeGreaterThanOrEqual(4);
  expect(host.gate.answerMs).toBe(0);
});
