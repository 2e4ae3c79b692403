import fc from "fast-check";
import { expect, test } from "vitest";
import { classify } from "../../src/protocol/classification.ts";
import type { InferOutput } from "../../src/protocol/inference.ts";

const output = (dataType: string, shape: number[], data: object) => ({ name: "O", dataType, shape, data }) as unknown as InferOutput;

test("the best of each row, with labels where there are any", () => {
  const scores = output("FP32", [2, 3], Float32Array.of(0.1, 9, 0.5, 3, 2, 1));
  expect(classify(scores, 2, { batched: true, labels: ["cat", "", "dog"] })).toMatchObject({
    dataType: "BYTES",
    shape: [2, 2],
    data: ["9.000000:1", "0.500000:2:dog", "3.000000:0:cat", "2.000000:1"],
  });
});

test("no batch, no axis for it; and never more than there are", () => {
  expect(classify(output("INT32", [1, 2], Int32Array.of(-7, 4)), 10, { batched: false })).toMatchObject({
    shape: [2],
    data: ["4:1", "-7:0"],
  });
});

test("of equal values the first comes first, and NaN last", () => {
  expect(classify(output("FP64", [4], Float64Array.of(NaN, 1, 1, -Infinity)), 4, { batched: false }).data).toEqual([
    "1.000000:1",
    "1.000000:2",
    "-inf:3",
    "nan:0",
  ]);
});

test.each([
  // printf("%f") rounds the middle between two to the even one.
  [1 / 128, "0.007812"],
  [3 / 128, "0.023438"],
  [-1 / 128, "-0.007812"],
  [5 / 128, "0.039062"],
  [-0, "-0.000000"],
  [1e21, "1000000000000000000000.000000"],
  [0.1, "0.100000"],
  [123456.7890125, "123456.789012"],
])("%f is written as %s", (value, text) => {
  expect(classify(output("FP64", [1], Float64Array.of(value)), 1, { batched: false }).data).toEqual([`${text}:0`]);
});

test("64-bit integers are compared and written to the last digit", () => {
  const data = BigInt64Array.of(2n ** 60n, 2n ** 60n + 1n);
  expect(classify(output("INT64", [2], data), 1, { batched: false }).data).toEqual(["1152921504606846977:1"]);
});

test("a few and many classes are found in the same order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 150, maxLength: 300 }),
      fc.integer({ min: 1, max: 100 }),
      (values, k) => {
        const all = output("INT32", [values.length], Int32Array.from(values));
        const few = classify(all, k, { batched: false }).data;
        expect(few).toEqual(classify(all, values.length, { batched: false }).data.slice(0, k));
      },
    ),
  );
});
