/** A 64-bit integer as the generated messages hold it: its two halves, or a number. */
export type WireInt64 = number | { readonly low: number; readonly high: number; readonly unsigned: boolean };

const half = 2 ** 32;

/** A 64-bit integer of a message: a number as far as numbers are exact, else a bigint. */
export function readInt64(value: WireInt64): number | bigint {
  if (typeof value === "number") return value;
  const high = value.unsigned ? value.high >>> 0 : value.high | 0;
  const low = value.low >>> 0;
  const number = high * half + low;
  return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) + BigInt(low);
}

/** A 64-bit integer of a message as a bigint. */
export function readBigint(value: WireInt64): bigint {
  return BigInt(readInt64(value));
}

/** A 64-bit integer of a message as a number, rounded where numbers are not exact: for counters. */
export function readNumber(value: WireInt64): number {
  return Number(readInt64(value));
}

/** A 64-bit integer for a message. */
export function writeInt64(value: number | bigint, unsigned = false): WireInt64 {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  const whole = typeof value === "bigint" ? value : BigInt(Math.trunc(value));
  return { low: Number(BigInt.asIntN(32, whole)), high: Number(BigInt.asIntN(32, whole >> 32n)), unsigned };
}
