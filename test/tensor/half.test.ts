import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bf16ToFp32,
  bf16ToNumber,
  fp16ToFp32,
  fp16ToNumber,
  fp32ToBf16,
  fp32ToFp16,
  numberToBf16,
  numberToFp16,
} from "../../src/tensor/half.ts";

const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** What is wrong with a round trip of all patterns, NaN aside; none, when it is right. */
function roundTripFailures(decode: (bits: number) => number, encode: (value: number) => number): number[] {
  return [...patterns].filter((bits) => {
    const value = decode(bits);
    return Number.isNaN(value) ? !Number.isNaN(decode(encode(value))) : encode(value) !== bits;
  });
}

const formats = [
  { name: "fp16", decode: fp16ToNumber, encode: numberToFp16, infinity: 0x7c00, decodeAll: fp16ToFp32, encodeAll: fp32ToFp16 },
  { name: "bf16", decode: bf16ToNumber, encode: numberToBf16, infinity: 0x7f80, decodeAll: bf16ToFp32, encodeAll: fp32ToBf16 },
];

describe.each(formats)("$name", ({ decode, encode, infinity, decodeAll, encodeAll }) => {
  test("every bit pattern survives the round trip", () => {
    expect(roundTripFailures(decode, encode)).toEqual([]);
    // The array versions agree, so float32 holds every one of them exactly.
    expect(encodeAll(decodeAll(patterns.subarray(0, infinity + 1)))).toEqual(patterns.subarray(0, infinity + 1));
  });

  test("patterns count up with the numbers, so that each has its neighbours", () => {
    for (let bits = 1; bits <= infinity; bits++) if (!(decode(bits) > decode(bits - 1))) expect.unreachable(`at ${bits}`);
  });

  test("a number goes to the nearest one, ties to even, seen from both neighbours of every pattern", () => {
    const failures: number[] = [];
    for (let bits = 0; bits < infinity - 1; bits++) {
      const [low, high] = [decode(bits), decode(bits + 1)];
      const middle = low + (high - low) / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const step = (high - low) / 2 ** 20;
      if (encode(middle) !== even || encode(middle - step) !== bits || encode(middle + step) !== bits + 1) failures.push(bits);
      if (encode(-middle) !== (even | 0x8000)) failures.push(bits);
    }
    expect(failures).toEqual([]);
  });

  test("infinities, zeros, and what lies beyond the largest", () => {
    const largest = decode(infinity - 1);
    const step = largest - decode(infinity - 2);
    expect(encode(largest + step / 2)).toBe(infinity);
    expect(encode(largest + step * 0.499)).toBe(infinity - 1);
    expect(encode(Number.MAX_VALUE)).toBe(infinity);
    expect(encode(-Infinity)).toBe(infinity | 0x8000);
    expect(decode(infinity)).toBe(Infinity);
    expect(encode(-0)).toBe(0x8000);
    expect(decode(0x8000)).toBe(-0);
    expect(encode(decode(1) / 2)).toBe(0);
    expect(encode(Number.MIN_VALUE)).toBe(0);
  });

  test("is as good as any other pattern near it", () => {
    fc.assert(
      fc.property(fc.double({ min: -70000, max: 70000, noNaN: true }), (value) => {
        const bits = encode(value);
        const magnitude = bits & 0x7fff;
        if (magnitude === infinity) return;
        const error = Math.abs(decode(bits) - value);
        for (const other of [magnitude - 1, magnitude + 1]) {
          if (other >= 0) expect(error).toBeLessThanOrEqual(Math.abs(Math.abs(decode(other)) - Math.abs(value)));
        }
      }),
    );
  });
});

test("known values", () => {
  expect([1, 0.5, 65504, 2 ** -24, 2 ** -14, 1 / 3].map(numberToFp16)).toEqual([0x3c00, 0x3800, 0x7bff, 0x0001, 0x0400, 0x3555]);
  expect([1, -2, Math.PI, 2 ** -133].map(numberToBf16)).toEqual([0x3f80, 0xc000, 0x4049, 0x0001]);
  // By way of float32 this would be a tie, and go down to even: 1 + 2^-11 plus a little that float32 can't hold.
  expect(numberToFp16(1 + 2 ** -11 + 2 ** -40)).toBe(0x3c01);
});
