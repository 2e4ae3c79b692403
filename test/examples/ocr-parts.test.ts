import { describe, expect, test } from "vitest";
import { findRegions, type Region } from "../../examples/ocr/boxes.ts";
import { decodeCtc, parseKeys } from "../../examples/ocr/ctc.ts";
import { cutOut, writeChannels } from "../../examples/ocr/image.ts";
import { inReadingOrder } from "../../examples/ocr/reading-order.ts";
import { cornersOf, smallestRectangle, type Point } from "../../examples/ocr/rectangle.ts";

describe("the smallest rectangle", () => {
  test("of the corners of a leaning one is that one", () => {
    const leaning = { centre: [50, 40], width: 60, height: 10, angle: 0.3 } as const;
    const found = smallestRectangle([...cornersOf(leaning), [50, 40]]);
    expect(found.width).toBeCloseTo(60);
    expect(found.height).toBeCloseTo(10);
    expect(found.angle).toBeCloseTo(0.3);
    expect(found.centre[0]).toBeCloseTo(50);
    expect(found.centre[1]).toBeCloseTo(40);
  });

  test("lies level where a quarter turn can make it so", () => {
    const tall: Point[] = [
      [0, 0],
      [2, 0],
      [2, 9],
      [0, 9],
    ];
    expect(smallestRectangle(tall)).toMatchObject({ width: 2, height: 9, centre: [1, 4.5] });
    expect(Math.abs(smallestRectangle(tall).angle)).toBe(0);
  });
});

describe("regions", () => {
  const width = 40;
  const height = 20;
  function mapOf(fill: (x: number, y: number) => number): Float32Array {
    return Float32Array.from({ length: width * height }, (_, pixel) => fill(pixel % width, Math.floor(pixel / width)));
  }

  test("are the cores of the map, grown by what the model leaves off", () => {
    const data = mapOf((x, y) => (x >= 10 && x < 30 && y >= 8 && y < 12 ? 0.9 : 0));
    const [region, ...others] = findRegions({ width, height, data });
    expect(others).toEqual([]);
    // 20 × 4: area 80, perimeter 48, so 2.5 on every side.
    expect(region!.rectangle).toMatchObject({ centre: [20, 10], width: 25, height: 9, angle: 0 });
    expect(region!.score).toBeCloseTo(0.9);
  });

  test("are apart where the cores are, and pixels that touch at a corner are together", () => {
    expect(findRegions({ width, height, data: mapOf((x, y) => (x !== 20 && y >= 8 && y < 12 ? 0.9 : 0)) })).toHaveLength(2);
    const steps = mapOf((x, y) => (x < 20 ? (y >= 4 && y < 8 ? 0.9 : 0) : y >= 8 && y < 12 ? 0.9 : 0));
    expect(findRegions({ width, height, data: steps })).toHaveLength(1);
  });

  test("leave out what is faint and what is a speck", () => {
    expect(findRegions({ width, height, data: mapOf((_, y) => (y < 6 ? 0.4 : 0)) })).toEqual([]);
    expect(findRegions({ width, height, data: mapOf((_, y) => (y < 2 ? 0.9 : 0)) })).toEqual([]);
    expect(findRegions({ width, height, data: mapOf(() => 0) })).toEqual([]);
  });
});

describe("CTC", () => {
  const classes = parseKeys("a\nb\r\nc");
  function steps(...rows: readonly (readonly number[])[]): Float32Array {
    return Float32Array.from(rows.flat());
  }
  const blank = [0.9, 0.02, 0.02, 0.02, 0.04];
  const a = [0.1, 0.8, 0.05, 0.03, 0.02];
  const b = [0.1, 0.1, 0.6, 0.1, 0.1];

  test("has a blank before the keys and a space after them", () => {
    expect(classes).toEqual(["", "a", "b", "c", " "]);
  });

  test("drops repetitions, then blanks", () => {
    const { text, score } = decodeCtc(steps(a, a, blank, a, b, b), classes);
    expect(text).toBe("aab");
    expect(score).toBeCloseTo((0.8 + 0.8 + 0.6) / 3);
  });

  test("takes a blank with some likelihood of a space for one, but not at the ends", () => {
    const shy = [0.8, 0.05, 0.03, 0.02, 0.1];
    expect(decodeCtc(steps(shy, a, shy, blank, shy, b, shy), classes).text).toBe("a b");
    expect(decodeCtc(steps(a, blank, b), classes).text).toBe("ab");
  });

  test("reads nothing in blanks", () => {
    expect(decodeCtc(steps(blank, blank), classes)).toEqual({ text: "", score: 0 });
  });
});

describe("reading order", () => {
  function regionAt(x: number, y: number, angle = 0): Region {
    return { rectangle: { centre: [x, y], width: 40, height: 10, angle }, score: 1 };
  }

  test("goes by rows, and in a row from left to right", () => {
    const [a, b, c, d] = [regionAt(20, 10), regionAt(100, 12), regionAt(20, 30), regionAt(100, 29)] as const;
    expect(inReadingOrder([d, c, b, a])).toEqual([a, b, c, d]);
    expect(inReadingOrder([])).toEqual([]);
  });

  test("follows rows that lean", () => {
    const lean = (x: number, y: number): Region => regionAt(x - y * Math.sin(0.1), y + x * Math.sin(0.1), 0.1);
    const [a, b, c, d] = [lean(20, 10), lean(300, 10), lean(20, 30), lean(300, 30)] as const;
    expect(inReadingOrder([d, b, c, a])).toEqual([a, b, c, d]);
  });
});

describe("pixels", () => {
  const image = { width: 3, height: 2, channels: 3, data: Uint8Array.from({ length: 18 }, (_, index) => index) } as const;

  test("are cut out upright as they are, with the edge going on beyond itself", () => {
    const cut = cutOut(image, { centre: [2.5, 1], width: 3, height: 2, angle: 0 });
    expect([...cut.data]).toEqual([3, 4, 5, 6, 7, 8, 6, 7, 8, 12, 13, 14, 15, 16, 17, 15, 16, 17]);
  });

  test("are blended where the cut leans", () => {
    const quarter = cutOut(image, { centre: [1, 1], width: 2, height: 2, angle: Math.PI / 2 });
    // A quarter turn clockwise of the left square: its left column, from the bottom up, becomes the last row.
    expect([...quarter.data]).toEqual([3, 4, 5, 12, 13, 14, 0, 1, 2, 9, 10, 11]);
  });

  test("go to the tensor blue first, with rows as long as the tensor's", () => {
    const target = new Float32Array(3 * 2 * 4).fill(-1);
    writeChannels(image, { mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255] }, target, 4);
    expect([...target.map(Math.round)]).toEqual([2, 5, 8, -1, 11, 14, 17, -1, 1, 4, 7, -1, 10, 13, 16, -1, 0, 3, 6, -1, 9, 12, 15, -1]);
  });
});
