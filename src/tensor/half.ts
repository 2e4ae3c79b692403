/**
 * The two 16-bit floating-point formats, between bit patterns and numbers. A number is rounded once, from the double that
 * it is, to the nearest value, ties to even; too large ones become infinite.
 */

interface Format {
  /** Stored bits of the fraction. */
  readonly fractionBits: number;
  readonly bias: number;
}

const fp16: Format = { fractionBits: 10, bias: 15 };
const bf16: Format = { fractionBits: 7, bias: 127 };

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
const highWord = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;
const lowWord = 1 - highWord;

// At this size doubles are whole numbers, so adding and subtracting it rounds to one, ties to even.
const rounder = 2 ** 52;

function encode(value: number, { fractionBits, bias }: Format): number {
  double[0] = value;
  const high = words[highWord] ?? 0;
  const sign = (high >>> 31) << 15;
  const infinity = (2 * bias + 1) << fractionBits;
  if (Number.isNaN(value)) return infinity | (1 << (fractionBits - 1));
  if (value === Infinity || value === -Infinity) return sign | infinity;
  // Values below the smallest normal one are multiples of the same unit as it.
  const exponent = Math.max(((high >>> 20) & 0x7ff) - 1023, 1 - bias);
  words[highWord] = (exponent - fractionBits + 1023) << 20;
  words[lowWord] = 0;
  const unit = double[0];
  const units = Math.abs(value) / unit + rounder - rounder;
  // A carry out of the fraction runs into the exponent, as it should, up to infinity.
  return sign | Math.min(units + (exponent + bias - 1) * 2 ** fractionBits, infinity);
}

function decode(bits: number, { fractionBits, bias }: Format): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >>> fractionBits;
  const fraction = bits & ((1 << fractionBits) - 1);
  if (exponent === 2 * bias + 1) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - fractionBits);
  words[highWord] = ((exponent - bias + 1023) << 20) | (fraction << (20 - fractionBits));
  words[lowWord] = 0;
  return sign * (double[0] ?? NaN);
}

function decodeAll(bits: ArrayLike<number>, format: Format): Float32Array {
  const values = new Float32Array(bits.length);
  for (let index = 0; index < values.length; index++) values[index] = decode(bits[index] ?? 0, format);
  return values;
}

function encodeAll(values: ArrayLike<number>, format: Format): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let index = 0; index < bits.length; index++) bits[index] = encode(values[index] ?? NaN, format);
  return bits;
}

/** The number that a half-precision bit pattern stands for. */
export function fp16ToNumber(bits: number): number {
  return decode(bits, fp16);
}

/** The half-precision bit pattern nearest to a number, ties to even; from 65520 on it is infinite. */
export function numberToFp16(value: number): number {
  return encode(value, fp16);
}

/** The number that a bfloat16 bit pattern stands for. */
export function bf16ToNumber(bits: number): number {
  return decode(bits, bf16);
}

/** The bfloat16 bit pattern nearest to a number, ties to even. */
export function numberToBf16(value: number): number {
  return encode(value, bf16);
}

/** Half-precision bit patterns (the data of an `FP16` tensor) as float32. */
export function fp16ToFp32(bits: ArrayLike<number>): Float32Array {
  return decodeAll(bits, fp16);
}

/** Numbers as half-precision bit patterns: the data of an `FP16` tensor. */
export function fp32ToFp16(values: ArrayLike<number>): Uint16Array {
  return encodeAll(values, fp16);
}

/** bfloat16 bit patterns (the data of a `BF16` tensor) as float32. */
export function bf16ToFp32(bits: ArrayLike<number>): Float32Array {
  return decodeAll(bits, bf16);
}

/** Numbers as bfloat16 bit patterns: the data of a `BF16` tensor. */
export function fp32ToBf16(values: ArrayLike<number>): Uint16Array {
  return encodeAll(values, bf16);
}
