import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { errorCodes } from "../../src/errors.ts";
import { httpStatus } from "../../src/runtime/http/status.ts";

const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");

/** The rows of the page's tables: code, HTTP status, gRPC code, when, what to do. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

describe("docs/errors.md", () => {
  test("lists each code once, and no other", () => {
    const listed = rows.map(([code]) => code?.replaceAll("`", ""));
    expect([...listed].sort()).toEqual([...errorCodes].sort());
  });

  test("says of each code its numbers, when it comes, and what to do", () => {
    for (const row of rows) {
      expect(row, row[0]).toHaveLength(5);
      expect(
        row.every((cell) => cell !== ""),
        row[0],
      ).toBe(true);
      expect(row[1], row[0]).toMatch(/^[45]\d\d$/);
      expect(row[2], row[0]).toMatch(/^[A-Z_]+$/);
    }
  });

  test("gives each code the HTTP status that the edge gives it", () => {
    const listed = Object.fromEntries(rows.map(([code, status]) => [code?.replaceAll("`", ""), Number(status)]));
    expect(listed).toEqual(httpStatus);
  });
});
