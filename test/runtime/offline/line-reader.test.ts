import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineReader, type Line, type LinePlace } from "../../../src/runtime/offline/line-reader.ts";

async function readAll(bytes: Uint8Array, cuts: readonly number[], maxLineBytes: number, start?: LinePlace): Promise<Line[]> {
  const places = [...new Set([start?.inputBytes ?? 0, ...cuts.filter((cut) => cut > (start?.inputBytes ?? 0)), bytes.byteLength])].sort(
    (a, b) => a - b,
  );
  const pieces = places.slice(1).map((end, index) => bytes.slice(places[index], end));
  const reader = new LineReader(() => Promise.resolve(pieces.shift()), maxLineBytes, start);
  const lines: Line[] = [];
  for (;;) {
    const line = reader.take();
    if (line !== undefined) lines.push(line);
    else if (reader.ended) return lines;
    else await reader.fill();
  }
}

const textOf = ({ body }: Line): string | undefined => body && Buffer.from(body).toString("latin1");
const shown = (lines: readonly Line[]) => lines.map((line) => ({ line: line.line, text: textOf(line), inputBytes: line.inputBytes }));
const read = async (text: string, maxLineBytes = 100, cuts: readonly number[] = []) =>
  (await readAll(Buffer.from(text, "latin1"), cuts, maxLineBytes)).map((line) => [line.line, textOf(line)]);

describe("lines", () => {
  test("end with either break, the last one with none", async () => {
    expect(await read("a\nb\r\nc")).toEqual([
      [1, "a"],
      [2, "b"],
      [3, "c"],
    ]);
    expect(await read("a\n")).toEqual([[1, "a"]]);
    expect(await read("")).toEqual([]);
  });

  test("that are blank are passed over, and counted", async () => {
    expect(await read("\n \t\r\na\n\n\r\nb\n\n")).toEqual([
      [3, "a"],
      [6, "b"],
    ]);
  });

  test("begin behind a byte order mark, which is no part of any other line", async () => {
    const mark = "\u00ef\u00bb\u00bf";
    expect(await read(`${mark}a\n${mark}b\n`, 100, [1, 2])).toEqual([
      [1, "a"],
      [2, `${mark}b`],
    ]);
    expect(await read(`${mark}\na`)).toEqual([[2, "a"]]);
    expect(await read(`${mark}abc\r\nd`, 3)).toEqual([
      [1, "abc"],
      [2, "d"],
    ]);
  });

  test("that are too long have no body, and leave the next ones alone", async () => {
    expect(await read("abcd\nabc\r\nabcd\r\nx\nabcde", 3, [2, 6, 12])).toEqual([
      [1, undefined],
      [2, "abc"],
      [3, undefined],
      [4, "x"],
      [5, undefined],
    ]);
  });

  test("are the same however they arrive, and from the end of each one on the rest is", async () => {
    const piece = fc.constantFrom("a", "bc", "\n", "\r\n", "\r", " ", "\u00ef\u00bb\u00bf", "long-long-long");
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 40 }),
        fc.array(fc.nat(120)),
        fc.integer({ min: 1, max: 12 }),
        async (parts, cuts, most) => {
          const bytes = Buffer.from(parts.join(""), "latin1");
          const whole = await readAll(bytes, [], most);
          const inside = cuts.filter((cut) => cut < bytes.byteLength);
          expect(shown(await readAll(bytes, inside, most))).toEqual(shown(whole));
          const expected = bytes
            .toString("latin1")
            .split("\n")
            .map((text, index) => (index === 0 ? text.replace(/^\u00ef\u00bb\u00bf/, "") : text).replace(/\r$/, ""))
            .map((text, index) => ({ line: index + 1, text: text.length > most ? undefined : text }))
            .filter(({ text }) => text === undefined || /[^ \t\r]/.test(text));
          expect(whole.map((line) => ({ line: line.line, text: textOf(line) }))).toEqual(expected);
          for (const [index, place] of whole.entries()) {
            expect(shown(await readAll(bytes, inside, most, place))).toEqual(shown(whole.slice(index + 1)));
          }
        },
      ),
    );
  });

  test("are views that can't be taken away whole", async () => {
    const lines = await readAll(Buffer.from("aaaa\nbbbb"), [2, 7], 100);
    for (const { body } of lines) expect(body?.buffer.byteLength).toBeGreaterThan(body?.byteLength ?? 0);
  });

  test("that never end are not kept", async () => {
    let pieces = 0;
    const piece = Buffer.alloc(1024 * 1024, "x");
    const reader = new LineReader(() => Promise.resolve(pieces++ < 500 ? piece.subarray() : undefined), 1024 * 1024);
    const before = process.memoryUsage().arrayBuffers;
    while (!reader.ended) {
      await reader.fill();
      reader.take();
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });
});
