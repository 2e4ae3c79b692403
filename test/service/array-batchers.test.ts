import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arrayBatcher, namedArraysBatcher, padAxis } from "../../src/service/array-batchers.ts";
import type { NamedArrays } from "../../src/tensor/named-arrays.ts";
import { rowsOf } from "../../src/tensor/stack.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const rows = (...lists: number[][]): Tensor<"FP32"> => Tensor.from("FP32", lists);

describe("named arrays", () => {
  const batcher = namedArraysBatcher();

  test("go under each other, and come apart again", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }), async (counts) => {
        const requests = counts.map((count, index) => ({ x: rows(...Array.from({ length: count }, (_, row) => [index, row])) }));
        expect(requests.map((request) => batcher.rows!(request))).toEqual(counts);
        const batch = await batcher.batch(requests);
        expect(rowsOf(batch)).toBe(counts.reduce((sum, count) => sum + count, 0));
        const parts = await batcher.unbatch({ y: batch.x! }, requests);
        expect(parts.map(({ y }) => y!.toNested())).toEqual(requests.map(({ x }) => x.toNested()));
      }),
    );
  });

  test("of different shapes, names or types have different keys", () => {
    const keys = [{ x: rows([1, 2]) }, { x: rows([1, 2, 3]) }, { y: rows([1, 2]) }, { x: Tensor.from("FP64", [[1, 2]]) }].map((arrays) =>
      batcher.key!(arrays),
    );
    expect(new Set(keys).size).toBe(4);
    expect(batcher.key!({ x: rows([5, 6], [7, 8]) })).toBe(keys[0]);
  });

  test("one request is padded, too: a padding may ask for more than its longest", async () => {
    const toFour = {
      ...padAxis(1),
      pad: (requests: readonly NamedArrays[]) =>
        padAxis(1)
          .pad([...requests, { x: rows([0, 0, 0, 0]) }])
          .slice(0, -1),
    };
    expect((await namedArraysBatcher({ padding: toFour }).batch([{ x: rows([1, 2]) }])).x!.shape).toEqual([1, 4]);
    const one = arrayBatcher({
      padding: {
        ...toFour,
        pad: (requests) =>
          padAxis(1)
            .pad([...requests, { array: rows([0, 0, 0, 0]) }])
            .slice(0, -1),
      },
    });
    expect((await one.batch([rows([1, 2])])).shape).toEqual([1, 4]);
  });

  test("one request is not copied", async () => {
    const request = { x: rows([1]) };
    expect(await batcher.batch([request])).toBe(request);
  });
});

describe("one array", () => {
  test("goes the same way", async () => {
    const batcher = arrayBatcher();
    const requests = [rows([1, 2]), rows([3, 4], [5, 6])];
    const batch = await batcher.batch(requests);
    expect(batch.toNested()).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect((await batcher.unbatch(batch, requests)).map((part) => part.toNested())).toEqual([
      [[1, 2]],
      [
        [3, 4],
        [5, 6],
      ],
    ]);
    expect(batcher.key!(requests[0]!)).toBe(batcher.key!(requests[1]!));
  });

  test("is padded as named ones are", async () => {
    const batcher = arrayBatcher({ padding: padAxis(1, -1) });
    const requests = [rows([1]), rows([2, 3, 4])];
    expect(batcher.key!(requests[0]!)).toBe(batcher.key!(requests[1]!));
    expect((await batcher.batch(requests)).toNested()).toEqual([
      [1, -1, -1],
      [2, 3, 4],
    ]);
  });
});

describe("padding", () => {
  test("fills up at the end of the axis, whatever the type", async () => {
    const batcher = namedArraysBatcher({ padding: padAxis(1, 7) });
    for (const dataType of ["FP32", "INT64", "FP16", "UINT8", "BF16"] as const) {
      const batch = await batcher.batch([
        { x: Tensor.from(dataType, [[[1, 2]]] as never) },
        {
          x: Tensor.from(dataType, [
            [
              [3, 4],
              [5, 6],
            ],
          ] as never),
        },
      ]);
      const expected = Tensor.from(dataType, [
        [
          [1, 2],
          [7, 7],
        ],
        [
          [3, 4],
          [5, 6],
        ],
      ] as never);
      expect(batch.x!.toNested()).toEqual(expected.toNested());
    }
  });

  test("to the next step, so that few shapes occur, and what needs different steps is kept apart", async () => {
    const { key, pad } = padAxis(1, 0, [4, 8]);
    expect(key({ x: rows([1, 2]) })).toBe(key({ x: rows([1, 2, 3, 4]) }));
    expect(key({ x: rows([1, 2]) })).not.toBe(key({ x: rows([1, 2, 3, 4, 5]) }));
    expect(pad([{ x: rows([1]) }, { x: rows([1, 2]) }]).map(({ x }) => x!.shape)).toEqual([
      [1, 4],
      [1, 4],
    ]);
    expect(pad([{ x: rows(Array.from({ length: 9 }, () => 1)) }])[0]!.x!.shape).toEqual([1, 9]);
  });

  test("leaves arrays without that axis alone, and refuses what it can't do", () => {
    const scalars = Tensor.from("FP32", [3]);
    expect(
      padAxis(1).pad([
        { x: rows([1]), s: scalars },
        { x: rows([1, 2]), s: scalars },
      ])[0]!.s,
    ).toBe(scalars);
    expect(() => padAxis(0)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    const texts = (...list: string[]): Tensor => new Tensor("BYTES", [1, list.length], list);
    expect(() => padAxis(1).pad([{ x: texts("a") }, { x: texts("a", "b") }])).toThrow(
      expect.objectContaining({ code: "invalid_argument" }),
    );
  });
});
