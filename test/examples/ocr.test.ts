import { readFile } from "node:fs/promises";
import { ImageHandler, type DecodedImage } from "servable";
import { expect, test } from "vitest";
import { z } from "zod";
import { ocr } from "../../examples/ocr/ocr.ts";

const folder = new URL("../../examples/ocr/", import.meta.url);
const truth = z.record(z.string(), z.array(z.string())).parse(JSON.parse(await readFile(new URL("truth.json", folder), "utf8")));

async function load(file: string): Promise<DecodedImage> {
  const payload = { contentType: "image/png", body: await readFile(new URL(file, folder)) };
  return new ImageHandler({ field: "image" }).deserialize(payload);
}

// A machine that is busy elsewhere may take its time.
test("reads its pictures back: at most 2 % wrong characters, 0.5 % leaving spaces aside", { timeout: 120_000 }, async () => {
  const all = { characters: 0, wrong: 0 };
  const withoutSpaces = { characters: 0, wrong: 0 };
  const mistakes: string[] = [];
  for (const [file, lines] of Object.entries(truth)) {
    const { lines: found } = await ocr.call(await load(file));
    const got = found.map(({ text }) => text).join(" ");
    const wanted = lines.join(" ");
    count(all, got, wanted);
    count(withoutSpaces, got.replaceAll(" ", ""), wanted.replaceAll(" ", ""));
    if (got !== wanted) mistakes.push(`${file}\n  wanted ${wanted}\n  got    ${got}`);
  }
  expect(Object.keys(truth).length).toBeGreaterThanOrEqual(10);
  expect(all.characters).toBeGreaterThan(2000);
  expect(all.wrong / all.characters, mistakes.join("\n")).toBeLessThanOrEqual(0.02);
  expect(withoutSpaces.wrong / withoutSpaces.characters, mistakes.join("\n")).toBeLessThanOrEqual(0.005);
});

test("says where each line stands, also when it leans", async () => {
  const { lines } = await ocr.call(await load("pictures/tilted.png"));
  expect(lines).toHaveLength(4);
  for (const { score, box } of lines) {
    const [topLeft, topRight, bottomRight, bottomLeft] = box;
    const degrees = (Math.atan2(topRight![1] - topLeft![1], topRight![0] - topLeft![0]) * 180) / Math.PI;
    expect(Math.abs(degrees - 4)).toBeLessThan(1);
    const height = Math.hypot(bottomLeft![0] - topLeft![0], bottomLeft![1] - topLeft![1]);
    expect(height).toBeGreaterThan(20);
    expect(height).toBeLessThan(36);
    expect(bottomRight![1]).toBeGreaterThan(bottomLeft![1]);
    expect(score).toBeGreaterThan(0.8);
  }
});

test("finds nothing where nothing is written, whatever the size", async () => {
  for (const [width, height] of [
    [1, 1],
    [7, 300],
    [1500, 40],
  ] as const) {
    const data = new Uint8Array(width * height * 3).fill(230);
    expect(await ocr.call({ width, height, channels: 3, data })).toEqual({ lines: [] });
  }
});

test("reads a picture that is larger than the detection model gets to see, and answers in its pixels", async () => {
  const image = await load("pictures/invoice.png");
  const { lines } = await ocr.call(image);
  const { lines: large } = await ocr.call(threeTimes(image));
  expect(large).toHaveLength(lines.length);
  expect(large.map(({ text }) => text)).toContain("Office chair, black leather");
  for (const [index, { box }] of large.entries()) {
    for (const [corner, [x, y]] of box.entries()) {
      const [smallX, smallY] = lines[index]!.box[corner]!;
      expect(Math.abs(x - 3 * smallX)).toBeLessThan(16);
      expect(Math.abs(y - 3 * smallY)).toBeLessThan(16);
    }
  }
});

test("stops when nobody waits any more", async () => {
  const data = new Uint8Array(64 * 64 * 3);
  await expect(ocr.call({ width: 64, height: 64, channels: 3, data }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "cancelled",
  });
});

function threeTimes({ width, height, data }: DecodedImage): DecodedImage {
  const large = { width: width * 3, height: height * 3, channels: 3, data: new Uint8Array(data.length * 9) } as const;
  for (let offset = 0; offset < large.data.length; offset++) {
    const x = Math.floor(offset / 3) % large.width;
    const y = Math.floor(offset / 3 / large.width);
    large.data[offset] = data[(Math.floor(y / 3) * width + Math.floor(x / 3)) * 3 + (offset % 3)]!;
  }
  return large;
}

function count(total: { characters: number; wrong: number }, got: string, wanted: string): void {
  total.characters += wanted.length;
  total.wrong += editDistance(got, wanted);
}

/** Levenshtein's: the fewest characters to insert, drop or replace. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const replaced = row[column - 1]! + (from[index] === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[column]! + 1, next[column - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
