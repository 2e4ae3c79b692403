/** What a real model answers to a batch is what it answers to each request. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { resolveBatchPolicy } from "../../src/engine/batching/batch-policy.ts";
import { callerOf } from "../../src/engine/batching/caller.ts";
import { DynamicBatcher } from "../../src/engine/batching/dynamic-batcher.ts";
import { ServableError } from "../../src/errors.ts";
import type { OnnxModel } from "../../src/model/onnx/onnx-model.ts";
import { loadOnnxModel } from "../../src/model/onnx/load-onnx-model.ts";
import { namedArraysBatcher } from "../../src/service/array-batchers.ts";
import type { NamedArrays } from "../../src/tensor/named-arrays.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { writeOnnx } from "../support/onnx-writer.ts";

const width = 24;
/** Deterministic, and of no pattern that could hide a mistake in which row is whose. */
const weight = (index: number): number => Math.sin(index * 12.9898) * 0.4;
const matrix = (rows: number, columns: number): Tensor =>
  new Tensor(
    "FP32",
    [rows, columns],
    Float32Array.from({ length: rows * columns }, (_, index) => weight(index)),
  );

/** `x` [rows, 24] through two layers and a softmax, and `z` [rows, any length] through a softmax: two shapes that can't be stacked. */
const graph = writeOnnx({
  inputs: [
    { name: "x", dataType: "FP32", shape: ["batch", width] },
    { name: "z", dataType: "FP32", shape: ["batch", "length"] },
  ],
  outputs: [
    { name: "y", dataType: "FP32", shape: ["batch", 7] },
    { name: "s", dataType: "FP32", shape: ["batch", "length"] },
  ],
  nodes: [
    { op: "MatMul", inputs: ["x", "w1"], outputs: ["h"] },
    { op: "Relu", inputs: ["h"], outputs: ["r"] },
    { op: "MatMul", inputs: ["r", "w2"], outputs: ["l"] },
    { op: "Softmax", inputs: ["l"], outputs: ["y"], attributes: { axis: 1 } },
    { op: "Softmax", inputs: ["z"], outputs: ["s"], attributes: { axis: 1 } },
  ],
  initializers: { w1: matrix(width, 64), w2: matrix(64, 7) },
});

let model: OnnxModel;
beforeAll(async () => {
  model = await loadOnnxModel(graph);
});
afterAll(() => model.close());

const request = (seed: number, rows: number, length: number): NamedArrays => {
  const values = (columns: number): Float32Array =>
    Float32Array.from({ length: rows * columns }, (_, index) => Math.cos(seed * 78.233 + index) * 3);
  return { x: new Tensor("FP32", [rows, width], values(width)), z: new Tensor("FP32", [rows, length], values(length)) };
};
const numbersOf = (outputs: NamedArrays): readonly number[] => ["y", "s"].flatMap((name) => Array.from(outputs[name]!.as("FP32").data));

test("to the last bit what the same batch gives by hand, and within 1e-5 what each gives alone", async () => {
  const arrival = fc.record({
    gapMs: fc.integer({ min: 0, max: 6 }),
    rows: fc.integer({ min: 1, max: 3 }),
    length: fc.constantFrom(3, 5),
    poison: fc.integer({ min: 0, max: 9 }).map((dice) => dice === 0),
    cancelAfterMs: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { maxLength: 20 }),
      fc.integer({ min: 3, max: 8 }),
      fc.integer({ min: 0, max: 5 }),
      async (arrivals, maxRows, maxDelayMs) => {
        const clock = new FakeClock();
        const arrays = namedArraysBatcher();
        const poisoned = new Set<NamedArrays>();
        const batches: { readonly inputs: readonly NamedArrays[]; readonly outputs: readonly NamedArrays[] }[] = [];
        let running = 0;
        const batcher = new DynamicBatcher<NamedArrays, NamedArrays>({
          policy: resolveBatchPolicy({ maxRows, maxDelayMs }),
          rowsOf: (inputs) => arrays.rows!(inputs),
          keyOf: (inputs) => arrays.key!(inputs),
          idle: () => 1 - running,
          expected: () => 1,
          clock,
          async run(inputs) {
            running += 1;
            await new Promise<void>((resolve) => clock.after(4, resolve));
            running -= 1;
            if (inputs.some((one) => poisoned.has(one))) throw new Error("poisoned");
            const outputs = await arrays.unbatch(await model.run(await arrays.batch(inputs)), inputs);
            batches.push({ inputs, outputs });
            return outputs;
          },
        });
        const outcomes: Promise<PromiseSettledResult<NamedArrays>[]>[] = [];
        const requests: NamedArrays[] = [];
        for (const [seed, { gapMs, rows, length, poison, cancelAfterMs }] of arrivals.entries()) {
          const inputs = request(seed, rows, length);
          requests.push(inputs);
          if (poison) poisoned.add(inputs);
          const aborter = new AbortController();
          outcomes.push(Promise.allSettled([batcher.submit(inputs, { caller: callerOf(aborter.signal) })]));
          if (cancelAfterMs !== undefined) clock.after(cancelAfterMs, () => aborter.abort(new ServableError("cancelled", "gone")));
          await clock.advance(gapMs);
        }
        // The model's own runs take real time, in which the held clock goes on only when it is told to.
        while (batcher.inside > 0) {
          await clock.advance(50);
          await new Promise((resolve) => setImmediate(resolve));
        }
        const settled = (await Promise.all(outcomes)).flat();
        for (const [index, outcome] of settled.entries()) {
          const inputs = requests[index]!;
          if (outcome.status === "rejected") {
            expect(poisoned.has(inputs) || arrivals[index]!.cancelAfterMs !== undefined).toBe(true);
            continue;
          }
          const alone = numbersOf(await model.run(inputs));
          numbersOf(outcome.value).forEach((value, place) => {
            expect(Math.abs(value - alone[place]!)).toBeLessThanOrEqual(1e-5);
          });
        }
        for (const { inputs, outputs } of batches) {
          const byHand = await model.run(await arrays.batch(inputs));
          expect((await arrays.unbatch(byHand, inputs)).map(numbersOf)).toEqual(outputs.map(numbersOf));
        }
      },
    ),
    { numRuns: 40, endOnFailure: true },
  );
});
