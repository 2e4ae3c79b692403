import { describe, expect, test } from "vitest";
import { packArrays, unpackArrays } from "../../src/engine/placement/plain-arrays.ts";
import type { TensorData } from "../../src/tensor/data-type.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const elements = 8_192;
const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
const bufferOf = (data: TensorData | undefined): ArrayBufferLike => (data as Float32Array).buffer;
/** Views on one buffer, behind as many bytes that are none of them. */
function views(headBytes: number, ...lengths: readonly number[]): Record<string, Tensor> {
  const memory = new ArrayBuffer(headBytes + lengths.reduce((sum, length) => sum + length * 4, 0));
  let at = headBytes;
  return Object.fromEntries(
    lengths.map((length, index) => {
      const data = new Float32Array(memory, at, length).fill(index + 1);
      at += data.byteLength;
      return [`x${index}`, new Tensor("FP32", [length], data)];
    }),
  );
}

describe("arrays that cross", () => {
  test("take owned memory along where they are most of it, each buffer once", () => {
    const named = views(64, elements, elements);
    const { arrays, transfer } = packArrays(named, "memory");
    expect(transfer).toEqual([bufferOf(named.x0?.data)]);
    const crossed = unpackArrays(structuredClone(arrays, { transfer }));
    expect(named.x0!.data).toHaveLength(0);
    expect([crossed.x0!.data.length, crossed.x0!.data[0], crossed.x1!.data[elements - 1]]).toEqual([elements, 1, 2]);
    expect(bufferOf(crossed.x0?.data)).toBe(bufferOf(crossed.x1?.data));
  });

  test.each([
    ["where most of the memory is something else", views(bytes, elements), "memory"],
    ["where only the arrays are owned", views(64, elements), "arrays"],
    ["where nothing is", views(64, elements), false],
  ] as const)("are cut out of it %s", (_name, named, owned) => {
    const { arrays, transfer } = packArrays(named, owned);
    structuredClone(arrays, { transfer });
    expect(transfer).toHaveLength(1);
    expect(named.x0!.data[elements - 1]).toBe(1);
  });

  test("a small one beside a large one is copied before their memory goes", () => {
    const { arrays, transfer } = packArrays(views(64, elements, 2), "memory");
    const crossed = unpackArrays(structuredClone(arrays, { transfer }));
    expect([crossed.x0!.data[0], ...(crossed.x1!.data as Float32Array)]).toEqual([1, 2, 2]);
  });

  test("whole ones of somebody else's are copied", () => {
    const named = views(0, elements);
    const { arrays, transfer } = packArrays(named, false);
    expect(transfer).toEqual([]);
    expect(unpackArrays(structuredClone(arrays)).x0!.data[0]).toBe(1);
    expect(named.x0!.data[0]).toBe(1);
  });

  test("whatever they are called and hold", () => {
    const named = Object.fromEntries([
      ["__proto__", new Tensor("INT64", [2], new BigInt64Array([1n, 2n]))],
      ["texts", new Tensor("BYTES", [1, 2], ["a", new Uint8Array([255])])],
      ["none", new Tensor("FP32", [0, 3], new Float32Array(0))],
      ["one", new Tensor("BOOL", [], new Uint8Array([1]))],
    ]);
    const crossed = unpackArrays(structuredClone(packArrays(named, false).arrays));
    expect(Object.entries(crossed)).toEqual(Object.entries(named));
    expect(Object.isFrozen(crossed.texts?.shape)).toBe(true);
  });
});
