import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { arrayTypes, byteSizeOf, dataTypes, isDataType, type DataType, type TensorData } from "../../src/tensor/data-type.ts";
import { tensor, Tensor } from "../../src/tensor/tensor.ts";
import { anyTensor } from "../support/tensors.ts";

describe("the constructor", () => {
  test("holds the very array that it is given, and a frozen copy of the shape", () => {
    const data = new Float32Array(6);
    const shape = [2, 3];
    const made = tensor("FP32", shape, data);
    shape[0] = 9;
    expect(made.data).toBe(data);
    expect(made.shape).toEqual([2, 3]);
    expect(Object.isFrozen(made.shape)).toBe(true);
    expect(made.size).toBe(6);
    expect(String(made)).toBe("FP32 [2, 3]");
  });

  test("types the data by the data type", () => {
    expectTypeOf(tensor("INT64", [1], new BigInt64Array(1)).data).toEqualTypeOf<BigInt64Array>();
    expectTypeOf<TensorData<"BYTES">>().toEqualTypeOf<readonly (string | Uint8Array)[]>();
    expectTypeOf<Tensor<"FP32">>().toExtend<Tensor>();
    // @ts-expect-error -- a Float64Array is no data of FP32
    expect(() => tensor("FP32", [1], new Float64Array(1))).toThrow();
  });

  test.each<[string, DataType, readonly number[], unknown, string]>([
    ["too little data", "FP32", [2, 3], new Float32Array(5), "A tensor of FP32 [2, 3] has 6 elements, but its data has 5."],
    ["data for a scalar", "INT8", [], new Int8Array(2), "A tensor of INT8 [] has 1 elements, but its data has 2."],
    ["a negative dimension", "FP32", [2, -1], new Float32Array(2), "Dimension 1 of the shape [2, -1]"],
    ["half a dimension", "FP32", [0.5], new Float32Array(0), "Dimension 0 of the shape [0.5]"],
    ["a size beyond counting", "FP32", [2 ** 40, 2 ** 40], new Float32Array(0), "more elements than can be counted"],
    ["a plain array", "FP32", [1], [1], "must be a Float32Array; it is a plain array"],
    ["another typed array", "FP16", [1], new Float32Array(1), "must be a Uint16Array; it is a Float32Array"],
    ["clamped bytes", "UINT8", [1], new Uint8ClampedArray(1), "must be a Uint8Array; it is a Uint8ClampedArray"],
    ["numbers among texts", "BYTES", [1], [1], "must be an array of strings or Uint8Arrays"],
    ["no data", "BOOL", [1], undefined, "must be a Uint8Array; it is a Undefined"],
  ])("refuses %s", (_, dataType, shape, data, message) => {
    const make = (): unknown => new Tensor(dataType, shape, data as TensorData);
    expect(make).toThrow(expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(message) }));
  });

  test("refuses a data type that there is not, and lists those there are", () => {
    expect(() => new Tensor("FLOAT" as DataType, [1], new Float32Array(1))).toThrow(/"FLOAT" is not a data type\. They are: BOOL, .*BYTES/);
    expect(isDataType("toString")).toBe(false);
  });

  test("takes a Buffer where bytes are wanted, and empty and scalar shapes", () => {
    expect(tensor("UINT8", [2], Buffer.from("ab")).size).toBe(2);
    expect(tensor("FP32", [0, 3], new Float32Array(0)).size).toBe(0);
    expect(tensor("FP64", [], new Float64Array([7])).toNested()).toBe(7);
  });
});

test("every data type but BYTES has a typed array of its size", () => {
  const sizes = dataTypes.map((dataType) => [dataType, byteSizeOf(dataType)]);
  expect(Object.fromEntries(sizes)).toEqual({
    ...{ BOOL: 1, INT8: 1, INT16: 2, INT32: 4, INT64: 8, UINT8: 1, UINT16: 2, UINT32: 4, UINT64: 8 },
    ...{ FP16: 2, BF16: 2, FP32: 4, FP64: 8, BYTES: undefined },
  });
  expect(Object.keys(arrayTypes)).toHaveLength(dataTypes.length - 1);
});

test("as gives the same tensor, or says what it is", () => {
  const made: Tensor = tensor("FP32", [1], new Float32Array(1));
  const typed = made.as("FP32");
  expectTypeOf(typed.data).toEqualTypeOf<Float32Array>();
  expect(typed).toBe(made);
  expect(() => made.as("INT8")).toThrow("The tensor is FP32 [1], not INT8.");
});

test("isTensor knows tensors of another copy, and nothing else", async () => {
  // A query makes it another module with another class, as a second installed copy has.
  const copy = new URL("../../src/tensor/tensor.ts?copy", import.meta.url).href;
  const other = (await import(/* @vite-ignore */ copy)) as typeof import("../../src/tensor/tensor.ts");
  const foreign = new other.Tensor("INT8", [1], new Int8Array(1));
  expect(foreign).not.toBeInstanceOf(Tensor);
  expect(Tensor.isTensor(foreign)).toBe(true);
  expect(Tensor.isTensor({ dataType: "INT8", shape: [1], data: new Int8Array(1) })).toBe(false);
});

describe("nested arrays", () => {
  test("give shape and data", () => {
    const made = Tensor.from("INT32", [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(made.shape).toEqual([2, 3]);
    expect([...made.data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(made.toNested()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
  });

  test("may be a single value, or empty", () => {
    expect(Tensor.from("FP32", 3).shape).toEqual([]);
    expect(Tensor.from("FP32", []).shape).toEqual([0]);
    expect(Tensor.from("FP32", [[], []]).shape).toEqual([2, 0]);
    expect(Tensor.from("FP32", [[], []]).toNested()).toEqual([[], []]);
  });

  test("hold plain values of every kind", () => {
    expect(Tensor.from("BOOL", [true, 0, 1, false]).toNested()).toEqual([true, false, true, false]);
    expect(Tensor.from("INT64", [1, -(2n ** 63n)]).toNested()).toEqual([1n, -(2n ** 63n)]);
    expect(Tensor.from("FP16", [0.1, -2, Infinity]).toNested()).toEqual([0.0999755859375, -2, Infinity]);
    expect(Tensor.from("BF16", [0.1, NaN]).toNested()).toEqual([0.10009765625, NaN]);
    expect(Tensor.from("BYTES", ["a", new Uint8Array([255])]).toNested()).toEqual(["a", new Uint8Array([255])]);
    expectTypeOf(Tensor.from("BOOL", [true]).data).toEqualTypeOf<Uint8Array>();
  });

  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  test.each<[string, DataType, unknown, string]>([
    ["a short row", "FP32", [[1, 2], [3]], "[1] has length 1; its siblings have length 2"],
    [
      "a deep short row",
      "FP32",
      [
        [[1], [2]],
        [[3], []],
      ],
      "[1][1] has length 0; its siblings have length 1",
    ],
    ["a value among rows", "FP32", [[1], 2], "[1] is not an array; its siblings are arrays of 1"],
    ["a row among values", "FP32", [1, [2]], "[1] is an array; its siblings are single values"],
    ["text among numbers", "FP32", [[1, "2"]], '[0][1] wants a number for FP32, got "2"'],
    ["a hole", "FP32", [1, , 3], "[1] wants a number for FP32, got undefined"],
    ["a number that would wrap", "UINT8", [0, 256], "[1] is out of the range of UINT8: 256"],
    ["a fraction", "INT32", [1.5], "[0] wants a whole number for INT32, got 1.5"],
    ["NaN for an integer", "INT16", [NaN], "[0] wants a whole number for INT16, got NaN"],
    ["a bigint that would wrap", "UINT64", [-1n], "[0] is out of the range of UINT64: -1n"],
    ["an unsafe integer", "INT64", [2 ** 60], "[0] wants a bigint or a safe integer for INT64"],
    ["a number that would be infinite", "FP32", [1e39], "[0] is out of the range of FP32: 1e+39"],
    ["a number that FP16 can't hold", "FP16", [70000], "[0] is out of the range of FP16: 70000"],
    ["2 for a boolean", "BOOL", [2], "[0] wants true, false, 1 or 0 for BOOL, got 2"],
    ["a number among texts", "BYTES", ["a", 1], "[1] wants a string or a Uint8Array, got 1"],
    ["an object", "FP32", { 0: 1 }, "(the value) wants a number for FP32, got a Object"],
    ["no end", "FP32", cyclic, "at most 64 dimensions"],
  ])("refuse %s, with the path", (_, dataType, nested, message) => {
    const make = (): unknown => Tensor.from(dataType, nested as number[]);
    expect(make).toThrow(expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(message) }));
  });

  test.each(dataTypes)("of %s read back as they were written", (dataType) => {
    const shapes = fc.array(fc.nat(3), { maxLength: 3 });
    fc.assert(
      fc.property(
        shapes.chain((shape) => anyTensor(dataType, shape)),
        (original) => {
          // Past a dimension of 0 nested arrays can't tell what would follow.
          const end = original.shape.indexOf(0);
          const shape = end === -1 ? original.shape : original.shape.slice(0, end + 1);
          const again = Tensor.from(dataType, original.toNested());
          expect(again.shape).toEqual(shape);
          expect(again.toNested()).toEqual(original.toNested());
        },
      ),
      { numRuns: 50 },
    );
  });
});
