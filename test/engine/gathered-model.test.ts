import { describe, expect, test } from "vitest";
import { resolveBatchPolicy } from "../../src/engine/batching/batch-policy.ts";
import { GatheredModel } from "../../src/engine/placement/gathered-model.ts";
import { ServableError } from "../../src/errors.ts";
import { CallContext } from "../../src/service/call-context.ts";
import type { AnyBatcher } from "../../src/service/batcher.ts";
import { namedArraysBatcher } from "../../src/service/array-batchers.ts";
import type { NamedArrays } from "../../src/tensor/named-arrays.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

class Worker {
  inFlight = 0;
  most = 0;
  readonly batches: NamedArrays[] = [];
  readonly #ends: (() => void)[] = [];

  run(inputs: NamedArrays): Promise<NamedArrays> {
    this.inFlight += 1;
    this.most = Math.max(this.most, this.inFlight);
    this.batches.push(inputs);
    return new Promise((resolve) => {
      this.#ends.push(() => {
        this.inFlight -= 1;
        resolve(inputs);
      });
    });
  }
  end(): void {
    this.#ends.shift()?.();
  }
}

class OneRowWorker {
  readonly inFlight = 0;
  readonly rows: number[] = [];
  run(inputs: NamedArrays): Promise<NamedArrays> {
    const rows = inputs.in?.shape[0] ?? 0;
    this.rows.push(rows);
    return rows === 1 ? Promise.resolve(inputs) : Promise.reject(new Error("one row, please"));
  }
}

function gathered(worker: Worker | OneRowWorker, maxRows = 4): GatheredModel {
  const model: GatheredModel = new GatheredModel({
    service: "s",
    policy: resolveBatchPolicy({ maxRows }),
    idle: () => (worker.inFlight === 0 ? 1 : 0),
    leastBusy: () => worker,
    workers: () => [worker],
    specs: () => ({
      inputs: [{ name: "in", dataType: "FP32", shape: [-1, 1] }],
      outputs: [{ name: "in", dataType: "FP32", shape: [-1, 1] }],
    }),
    onBatch: () => undefined,
  });
  return model;
}

const one = (value: number): NamedArrays => ({ in: Tensor.from("FP32", [[value]]) });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a gathered model", () => {
  test("batchers take turns: what waits behind another one's batch runs when that is done", async () => {
    const worker = new Worker();
    const model = gathered(worker);
    const [first, second] = [model.gather(namedArraysBatcher()), model.gather(namedArraysBatcher())];
    const one1 = first(one(1));
    await turn();
    const other = second(one(2));
    await turn();
    expect(worker.batches).toHaveLength(1);
    worker.end();
    await one1;
    await turn();
    expect(worker.batches).toHaveLength(2);
    worker.end();
    expect((await other).in!.toNested()).toEqual([[2]]);
  });

  test("a batch that nobody waits for any more when it is put together is not run", async () => {
    const worker = new Worker();
    const ready = namedArraysBatcher();
    let put: () => void = () => undefined;
    const isPut = new Promise<void>((resolve) => (put = resolve));
    const run = gathered(worker).gather({
      ...ready,
      batch: async (requests: readonly NamedArrays[]) => isPut.then(() => ready.batch(requests)),
    });
    const contexts = [new CallContext(), new CallContext()];
    const answers = Promise.allSettled(contexts.map((context, value) => run(one(value), { context })));
    await turn();
    for (const context of contexts) context.abort(new ServableError("cancelled", "Gone."));
    put();
    for (const answer of await answers) expect(answer).toMatchObject({ status: "rejected", reason: { code: "cancelled" } });
    await turn();
    expect(worker.batches).toEqual([]);
    // And the worker is there for others.
    const next = run(one(7));
    await turn();
    worker.end();
    expect((await next).in!.toNested()).toEqual([[7]]);
  });

  test("a run is due when its request is due by then: a stream's next item may be later than its first one", async () => {
    const worker = new Worker();
    const run = gathered(worker).gather(namedArraysBatcher());
    const context = new CallContext({ expiresAt: performance.now() - 1 });
    await expect(run(one(1), { context })).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(worker.batches).toEqual([]);
    context.renewDeadline(performance.now() + 10_000);
    const answer = run(one(2), { context });
    await turn();
    worker.end();
    expect((await answer).in!.toNested()).toEqual([[2]]);
  });

  test("a model that takes only one row is warm enough without a full batch, also when it is started again", async () => {
    const oneRow = new OneRowWorker();
    const model = gathered(oneRow);
    await model.warmUp(async () => {
      await model.model.run(one(1));
    });
    expect(oneRow.rows).toEqual([1, 4]);
    const next = new OneRowWorker();
    await model.prepare(next);
    expect(next.rows).toEqual([1]);
  });

  test.each(["at once", "later"])("a worker has one batch at a time, also where a batch is put together %s", async (when) => {
    const worker = new Worker();
    const ready = namedArraysBatcher();
    const batcher: AnyBatcher<NamedArrays, NamedArrays> =
      when === "at once" ? ready : { ...ready, batch: async (requests) => turn().then(() => ready.batch(requests)) };
    const run = gathered(worker).gather(batcher);
    const answers = Promise.all(Array.from({ length: 10 }, (_, value) => run(one(value))));
    for (let count = 0; count < 12; count += 1) {
      await turn();
      worker.end();
    }
    expect((await answers).map(({ in: array }) => array!.toNested())).toEqual(Array.from({ length: 10 }, (_, value) => [[value]]));
    expect(worker.most).toBe(1);
    expect(worker.batches.map((batch) => batch.in!.shape[0])).toEqual([4, 4, 2]);
  });

  test("a batcher of one array runs on a model that names its only one", async () => {
    const worker = new Worker();
    const run = gathered(worker).gather<number, number>({
      batch: (values) =>
        Tensor.from(
          "FP32",
          values.map((value) => [value]),
        ),
      unbatch: (outputs: Tensor) => Array.from(outputs.as("FP32").data, (value) => value + 0.5),
    });
    const answers = Promise.all([1, 2, 3].map((value) => run(value)));
    await turn();
    worker.end();
    expect(await answers).toEqual([1.5, 2.5, 3.5]);
    expect(worker.batches.map((batch) => batch.in!.toNested())).toEqual([[[1], [2], [3]]]);
  });

  test("an answer too few is a failure of each of them, not of the server", async () => {
    const worker = new Worker();
    const run = gathered(worker).gather<number, number>({
      batch: (values) => ({
        in: Tensor.from(
          "FP32",
          values.map((value) => [value]),
        ),
      }),
      unbatch: () => [],
    });
    const answers = Promise.allSettled([1, 2].map((value) => run(value)));
    for (let count = 0; count < 8; count += 1) {
      await turn();
      worker.end();
    }
    for (const answer of await answers) expect(answer).toMatchObject({ status: "rejected", reason: { code: "invalid_output" } });
  });
});
