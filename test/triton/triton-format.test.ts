import fc from "fast-check";
import { Tensor, TritonModelConfig, TritonTensor, tritonFormat } from "servable/triton";
import { describe, expect, test } from "vitest";

const batched = new TritonModelConfig({
  name: "m",
  backend: "python",
  maxBatchSize: 4,
  inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [3]), { name: "length", dataType: "TYPE_INT64", dims: [1], optional: true }],
  outputs: [new TritonTensor("y", "TYPE_STRING", "FORMAT_NONE", [-1])],
});
const single = {
  name: "s",
  input: [
    { name: "a", dataType: "TYPE_FP16", dims: [-1, 2] },
    { name: "b", dataType: "TYPE_UINT8", dims: [-1, -1] },
  ],
  output: [],
} as const;

describe("plain arrays become named tensors", () => {
  const inputs = tritonFormat(batched, "inputs");

  test("nested ones, typed ones, nested ones of typed ones, and tensors", () => {
    const rows = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    const wanted = { dataType: "FP32", shape: [2, 3], data: new Float32Array(rows.flat()) };
    for (const x of [rows, new Float32Array(rows.flat()), rows.map((row) => new Float32Array(row)), Tensor.from("FP32", rows)]) {
      expect(inputs.toTensors({ x }).x).toMatchObject(wanted);
    }
  });

  test("64-bit integers, halves, texts", () => {
    expect(inputs.toTensors({ x: [[1, 2, 3]], length: [[7]] }).length?.data).toEqual(new BigInt64Array([7n]));
    const { a, b } = tritonFormat(single, "inputs").toTensors({ a: [[0.5, 2]], b: [new Uint8Array([1, 2]), new Uint8Array([3, 4])] });
    expect(a?.toNested()).toEqual([[0.5, 2]]);
    expect(b?.shape).toEqual([2, 2]);
    const outputs = tritonFormat(batched, "outputs");
    expect(outputs.toTensors({ y: [["one", Buffer.from("two")]] }).y?.shape).toEqual([1, 2]);
  });

  test("and back again", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.float({ noNaN: true }), fc.float({ noNaN: true }), fc.float({ noNaN: true })), { minLength: 1, maxLength: 4 }),
        (x) => {
          const tensors = inputs.toTensors({ x });
          expect(inputs.toNested(tensors)).toEqual({ x });
          const typed = inputs.toTyped(tensors);
          expect(inputs.toTensors({ x: typed.x ?? [] })).toEqual(tensors);
        },
      ),
    );
  });
});

describe("what does not fit is refused, with its name and its axis", () => {
  const inputs = tritonFormat(batched, "inputs");
  const refused = (arrays: Parameters<typeof inputs.toTensors>[0], format = inputs) => {
    try {
      format.toTensors(arrays);
    } catch (thrown) {
      return (thrown as Error).message;
    }
    return "nothing";
  };

  test.each([
    [{}, "The input 'x' is missing."],
    [{ x: [[1, 2, 3]], z: [1] }, "The configuration has no input 'z'; it has: 'x', 'length'."],
    [{ x: [[1, 2]] }, "The input 'x' has the length 2 in axis 1, and the configuration says FP32 [-1, 3]."],
    [{ x: [1, 2, 3] }, "The input 'x' has 1 axes, [3], and the configuration says FP32 [-1, 3]."],
    [{ x: Array.from({ length: 5 }, () => [1, 2, 3]) }, "The input 'x' has 5 rows in axis 0, the batch, and the configuration allows 4."],
    [
      {
        x: [
          [1, 2, 3],
          [4, 5],
        ],
      },
      "The input 'x' does not fit: x[1] has length 2; its siblings have length 3. Nested arrays of a tensor must not be ragged.",
    ],
    [{ x: [[1, "2", 3]] }, "The input 'x' does not fit: x[0][1] wants a number for FP32, got \"2\"."],
    [{ x: new Float32Array(4) }, "The input 'x' does not fit: it has 4 elements, and its shape, [-1, 3], wants a multiple of 3."],
    [{ x: new Float64Array(3) }, "The input 'x' does not fit: for FP32 a typed array must be a Float32Array, and it is a Float64Array."],
    [{ x: [new Int8Array(3)] }, "The input 'x' does not fit: for FP32 a typed array must be a Float32Array, and it is an Int8Array."],
    [{ x: Tensor.from("FP64", [[1, 2, 3]]) }, "The input 'x' is of FP64, and the configuration says FP32 [-1, 3]."],
    [
      { x: [[1, 2, 3]], length: [[1.5]] },
      "The input 'length' does not fit: length[0][0] wants a bigint or a safe integer for INT64, got 1.5.",
    ],
  ])("%j", (arrays, message) => {
    expect(refused(arrays)).toBe(message);
  });

  test("a typed array whose shape nobody knows", () => {
    expect(refused({ a: [[1, 2]], b: new Uint8Array(4) }, tritonFormat(single, "inputs"))).toMatch(
      /free in axes 0 and 1.*give a Tensor, or nested arrays/,
    );
  });

  test("tensors on the way back", () => {
    const outputs = tritonFormat(batched, "outputs");
    expect(() => outputs.toNested({})).toThrow("The output 'y' is missing.");
    expect(() => outputs.toTyped({ y: Tensor.from("FP32", [[1]]) })).toThrow("The output 'y' is of FP32");
  });

  test("names that every object has", () => {
    expect(refused({ x: [[1, 2, 3]], constructor: [1] })).toMatch(/no input 'constructor'/);
    expect(refused({}, tritonFormat({ input: [{ name: "toString", dataType: "TYPE_FP32", dims: [1] }] }, "inputs"))).toBe(
      "The input 'toString' is missing.",
    );
  });

  test("a configuration that does not tell", () => {
    expect(() => tritonFormat({ name: "m", input: [{ name: "x", dims: [1] }] }, "inputs")).toThrow("has no data type for the input 'x'");
    expect(() => tritonFormat({ name: "m", output: [{ dataType: "TYPE_FP32" }] }, "outputs")).toThrow("has an output without a name");
  });
});
