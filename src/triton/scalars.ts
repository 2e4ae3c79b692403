import type { ScalarKind } from "./fields.ts";
import type { Int64 } from "./model-config.ts";

type IntegerKind = "int32" | "uint32" | "int64" | "uint64" | "length";

const ranges: Readonly<Record<IntegerKind, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  // No tensor is longer than numbers are exact.
  length: [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)],
};

/** Whether a kind is one of whole numbers. */
export function isIntegerKind(kind: ScalarKind): kind is IntegerKind {
  return kind in ranges;
}

/** A whole number as configurations hold it: a number where it is exact, else a bigint; a text that says why it is out of range. */
export function integerOf(kind: IntegerKind, value: bigint): { readonly value: Int64 } | { readonly problem: string } {
  const [least, most] = ranges[kind];
  if (value < least || value > most) return { problem: `${shorten(String(value))} is out of range: ${least} to ${most}` };
  const number = Number(value);
  return { value: Number.isSafeInteger(number) ? number : value };
}

/** The digits of a whole number as a bigint; undefined where there are more than any kind takes, which would be slow to read. */
export function bigintOf(digits: string, base: 8 | 10 | 16): bigint | undefined {
  const significant = digits.replace(/^0+/, "");
  if (significant.length > 40) return undefined;
  const prefix = { 8: "0o", 10: "", 16: "0x" }[base];
  return BigInt(`${prefix}${significant === "" ? "0" : significant}`);
}

/** A number as the field holds it: of a float32, what of it survives. */
export function floatOf(kind: "float" | "double", value: number): number {
  return kind === "float" ? Math.fround(value) : value;
}

/** The shortest decimal that reads back as the same number: `0.1` for the float32 that comes nearest to it. */
export function decimalOf(kind: "float" | "double", value: number): string {
  if (kind === "double" || !Number.isFinite(value)) return String(value);
  for (let digits = 6; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === Math.fround(value)) return String(Number(text));
  }
  return String(value);
}

/** Whether a text has half of a surrogate pair, which no UTF-8 can hold. */
export function isBrokenText(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

/** Text of the caller's in an error: not all of it. */
export function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
