import { expect, test } from "vitest";
import { modelVersionOf } from "../../src/protocol/model-version-text.ts";

// What C's `stol` makes of them.
test.each([
  ["", ""],
  ["1", "1"],
  ["20261127", "20261127"],
  ["007", "7"],
  ["0", "0"],
  ["000", "0"],
  ["-0", "0"],
  ["+3", "3"],
  [" \t4", "4"],
  ["5abc", "5"],
  ["1.5", "1"],
  ["9223372036854775807", "9223372036854775807"],
])("%j means version %j", (text, version) => expect(modelVersionOf(text)).toBe(version));

test.each([
  ["abc", " (details: stol)"],
  [" ", " (details: stol)"],
  ["--1", " (details: stol)"],
  ["9223372036854775808", " (details: stol)"],
  ["-9223372036854775809", " (details: stol)"],
  ["9".repeat(100), " (details: stol)"],
  ["-1", ""],
  ["-9223372036854775808", ""],
])("%j is none", (text, details) => {
  // Measured on a real Triton 2.51, the blank before the comma included.
  const what =
    details === ""
      ? `invalid model version specified '${text}' `
      : `failed to get model version from specified version string '${text}'${details}`;
  const failure = `${what}, version should be an integral value > 0`;
  expect(() => modelVersionOf(text)).toThrow(expect.objectContaining({ status: "INVALID_ARG", message: failure }) as Error);
});
