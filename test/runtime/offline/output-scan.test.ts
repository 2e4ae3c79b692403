import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { beginning, type Checkpoint } from "../../../src/runtime/offline/checkpoint.ts";
import { findWholeRows, type WholeRows } from "../../../src/runtime/offline/output-scan.ts";

const folder = mkdtempSync(join(tmpdir(), "scan-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function scan(content: string | Uint8Array, from: Checkpoint = beginning): Promise<WholeRows> {
  const path = join(folder, "out.jsonl");
  writeFileSync(path, content);
  const file = await open(path, "r");
  try {
    return await findWholeRows(file, from);
  } finally {
    await file.close();
  }
}

const row = fc.oneof(
  fc.jsonValue().map((value) => `{"output":${JSON.stringify(value)}}\n`),
  fc.nat().map((line) => `{"error":{"code":"service_failed"},"line":${line}}\n`),
);
const countOf = (rows: readonly string[]): WholeRows => ({
  rows: rows.length,
  failed: rows.filter((text) => text.startsWith('{"error"')).length,
  outputBytes: Buffer.byteLength(rows.join("")),
});

test("whatever was cut off, the rows before it are found, from the beginning or from a checkpoint", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), fc.nat(), fc.nat(), async (rows, cut, seen) => {
      const bytes = Buffer.from(rows.join(""));
      const length = cut % (bytes.byteLength + 1);
      const ends = rows.map((_, index) => Buffer.byteLength(rows.slice(0, index + 1).join("")));
      const whole = countOf(rows.slice(0, ends.filter((end) => end <= length).length));
      const content = bytes.subarray(0, length);
      expect(await scan(content)).toEqual(whole);
      const from = { ...countOf(rows.slice(0, seen % (whole.rows + 1))), inputBytes: 1, line: 1 };
      expect(await scan(content, from)).toEqual(whole);
    }),
  );
});

test("a checkpoint beyond the output's end counts for nothing", async () => {
  const text = '{"output":1}\n{"output":2}\n';
  expect(await scan(text, { rows: 9, failed: 3, outputBytes: 900, inputBytes: 9, line: 9 })).toEqual({
    rows: 2,
    failed: 0,
    outputBytes: 26,
  });
  expect(await scan(text, { rows: 9, failed: 3, outputBytes: 20, inputBytes: 9, line: 9 })).toEqual({
    rows: 2,
    failed: 0,
    outputBytes: 26,
  });
});

test("what is no row of ours, or has holes, ends what is whole", async () => {
  expect(await scan('{"output":1}\n{"other":2}\n{"output":3}\n')).toMatchObject({ rows: 1 });
  expect(await scan('{"output":1}\n{"output":\0\0\0\0}\n{"output":3}\n')).toMatchObject({ rows: 1 });
  expect(await scan('{"output":1}\n\0\0\0\0')).toMatchObject({ rows: 1 });
});

test("rows that cross the pieces that are read are counted once", async () => {
  const rows = Array.from({ length: 9_000 }, (_, index) => `{"output":"${"x".repeat(index % 97)}"}\n`);
  expect(await scan(rows.join(""))).toEqual(countOf(rows));
});
