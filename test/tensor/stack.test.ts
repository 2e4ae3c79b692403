import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dataTypes } from "../../src/tensor/data-type.ts";
import { shapesOf } from "../../src/tensor/named-arrays.ts";
import { canStack, canStackNamed, rowsOf, split, splitNamed, stack, stackNamed } from "../../src/tensor/stack.ts";
import { tensor, Tensor } from "../../src/tensor/tensor.ts";
import { anyStackable } from "../support/tensors.ts";

const refusal = (message: string): unknown => expect.objectContaining({ code: "invalid_argument", message });

describe.each(dataTypes)("%s", (dataType) => {
  test("split undoes stack", () => {
    fc.assert(
      fc.property(anyStackable(dataType), (tensors) => {
        const rows = tensors.map(({ shape }) => shape[0] ?? 0);
        const whole = stack(tensors);
        expect(whole.shape[0]).toBe(rows.reduce((sum, count) => sum + count));
        expect(split(whole, rows)).toEqual(tensors);
      }),
      { numRuns: 100 },
    );
  });

  test("stack undoes split, of named arrays, too", () => {
    fc.assert(
      fc.property(anyStackable(dataType), (tensors) => {
        const rows = tensors.map(({ shape }) => shape[0] ?? 0);
        const whole = stack(tensors);
        const named = { x: whole, y: tensor("INT8", [whole.shape[0] ?? 0], new Int8Array(whole.shape[0] ?? 0).fill(3)) };
        expect(stack(split(whole, rows))).toEqual(whole);
        expect(stackNamed(splitNamed(named, rows))).toEqual(named);
      }),
      { numRuns: 50 },
    );
  });
});

describe("stack", () => {
  const one = Tensor.from("FP32", [[1, 2]]);
  const two = Tensor.from("FP32", [
    [3, 4],
    [5, 6],
  ]);

  test("puts rows under each other in memory of its own", () => {
    const whole = stack([one, two]);
    expect(whole.toNested()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect(whole.data.buffer).not.toBe(one.data.buffer);
  });

  test("reads views at their own place", () => {
    const data = new Float32Array([9, 9, 1, 2, 9]);
    expect(stack([tensor("FP32", [1, 2], data.subarray(2, 4)), two]).data).toEqual(new Float32Array([1, 2, 3, 4, 5, 6]));
  });

  test("of one is that very one", () => {
    const named = { x: one };
    expect(stack([one])).toBe(one);
    expect(stackNamed([named])).toBe(named);
  });

  test("refuses what does not fit, and says what", () => {
    expect(() => stack([])).toThrow(refusal("There is nothing to stack: the list is empty."));
    expect(() => stackNamed([])).toThrow(refusal("There is nothing to stack: the list is empty."));
    const wide = Tensor.from("FP32", [[1, 2, 3]]);
    expect(() => stack([one, wide])).toThrow(
      refusal("Cannot stack the tensors: FP32 [1, 2] and FP32 [1, 3] differ in more than their rows (axis 0)."),
    );
    expect(() => stackNamed([{ x: one }, { x: Tensor.from("FP64", [[1, 2]]) }])).toThrow(
      refusal("Cannot stack 'x': FP32 [1, 2] and FP64 [1, 2] differ in more than their rows (axis 0)."),
    );
    expect(() => stackNamed([{ x: one }, { x: one }, { y: one }])).toThrow(
      refusal("Cannot stack: in the named arrays at 2, 'x' is missing, 'y' is not in the first one."),
    );
    expect(() =>
      stackNamed([
        { x: one, y: two },
        { x: one, y: two },
      ]),
    ).toThrow(refusal("The arrays must have the same number of rows, but 'x' has 1 and 'y' has 2."));
    const scalar: Tensor = Tensor.from("FP32", 1);
    expect(() => stack([scalar, scalar])).toThrow(refusal("The tensor is a scalar (FP32 []) and has no rows."));
    expect(() => rowsOf({})).toThrow(refusal("There are no arrays, and so no rows."));
  });

  test("canStack says beforehand", () => {
    expect(canStack(one, two)).toBe(true);
    expect(canStack(one, Tensor.from("FP32", [1, 2]))).toBe(false);
    expect(canStack(Tensor.from("FP32", 1), Tensor.from("FP32", 1))).toBe(false);
    expect(canStackNamed({ x: one, y: one }, { y: two, x: two })).toBe(true);
    expect(canStackNamed({ x: one }, { x: one, y: one })).toBe(false);
    expect(canStackNamed({ toString: one }, { x: one })).toBe(false);
  });

  test("keeps an array of any name", () => {
    const named = JSON.parse('{"__proto__": 1}') as Record<string, Tensor>;
    Object.defineProperty(named, "__proto__", { value: one, enumerable: true });
    const whole = stackNamed([named, named]);
    expect(Object.keys(whole)).toEqual(["__proto__"]);
    expect(Object.values(shapesOf(whole))).toEqual([[2, 2]]);
  });
});

describe("split", () => {
  const whole = Tensor.from("FP32", [
    [1, 2],
    [3, 4],
    [5, 6],
  ]);

  test("gives views on the same memory, parts without rows among them", () => {
    const parts = split(whole, [1, 0, 2]);
    expect(parts.map(({ shape }) => shape)).toEqual([
      [1, 2],
      [0, 2],
      [2, 2],
    ]);
    for (const part of parts) expect(part.data.buffer).toBe(whole.data.buffer);
    expect(split(whole, [3])[0]).toBe(whole);
  });

  test("refuses rows that do not add up", () => {
    const message = (rows: string, what: string): string => `Cannot split ${what}, FP32 [3, 2], into parts of [${rows}] rows: it has 3.`;
    expect(() => split(whole, [1, 1])).toThrow(refusal(message("1, 1", "the tensor")));
    expect(() => split(whole, [4, -1])).toThrow(refusal(message("4, -1", "the tensor")));
    expect(() => split(whole, [1.5, 1.5])).toThrow(refusal(message("1.5, 1.5", "the tensor")));
    expect(() => splitNamed({ x: whole }, [2])).toThrow(refusal(message("2", "'x'")));
    expect(() => split(Tensor.from("FP32", 1), [1])).toThrow(refusal("The tensor is a scalar (FP32 []) and has no rows."));
  });
});

test("an array of the name __proto__ is split like any other", () => {
  const named = Object.fromEntries([["__proto__", Tensor.from("FP32", [[1], [2]])]]);
  const [first] = splitNamed(named, [1, 1]);
  expect(Object.keys(first!)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(first)).toBe(Object.prototype);
});
