import { arrayTypes, isBytesElement, type DataType, type TensorData, type TensorElement } from "./data-type.ts";
import { bf16ToNumber, fp16ToNumber, numberToBf16, numberToFp16 } from "./half.ts";

/** Tells a conversion what is wrong with the element at an index; never returns. */
export type RejectElement = (index: number, message: string) => never;

const integerRanges = {
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x80000000, 0x7fffffff],
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffffffff],
} as const;

const bigintRanges = {
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  UINT64: [0n, 2n ** 64n - 1n],
} as const;

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "object" && value !== null) return `a ${Object.prototype.toString.call(value).slice(8, -1)}`;
  return String(value);
}

/**
 * Plain values as the data of a tensor. Nothing is wrapped, cut off or turned into infinity on the way: what does not fit the
 * data type is rejected.
 */
export function encodeElements(dataType: DataType, values: readonly unknown[], reject: RejectElement): TensorData {
  if (dataType === "BYTES") {
    return values.map((value, index) =>
      isBytesElement(value) ? value : reject(index, `wants a string or a Uint8Array, got ${show(value)}`),
    );
  }
  if (dataType === "INT64" || dataType === "UINT64") {
    const data = new arrayTypes[dataType](values.length);
    for (const [index, value] of values.entries()) data[index] = toBigint(dataType, value, index, reject);
    return data;
  }
  const data = new arrayTypes[dataType](values.length);
  for (const [index, value] of values.entries()) data[index] = toNumber(dataType, value, index, reject);
  return data;
}

function toBigint(dataType: keyof typeof bigintRanges, value: unknown, index: number, reject: RejectElement): bigint {
  const whole = typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
  if (whole === undefined) return reject(index, `wants a bigint or a safe integer for ${dataType}, got ${show(value)}`);
  const [least, most] = bigintRanges[dataType];
  return whole >= least && whole <= most ? whole : reject(index, `is out of the range of ${dataType}: ${show(value)}`);
}

function toNumber(dataType: Exclude<DataType, "BYTES" | "INT64" | "UINT64">, value: unknown, index: number, reject: RejectElement): number {
  if (dataType === "BOOL") {
    if (value === true || value === 1) return 1;
    return value === false || value === 0 ? 0 : reject(index, `wants true, false, 1 or 0 for BOOL, got ${show(value)}`);
  }
  if (typeof value !== "number") return reject(index, `wants a number for ${dataType}, got ${show(value)}`);
  switch (dataType) {
    case "FP64":
      return value;
    case "FP32":
      return finite(dataType, value, Math.fround(value), index, reject);
    case "FP16": {
      const bits = numberToFp16(value);
      finite(dataType, value, fp16ToNumber(bits), index, reject);
      return bits;
    }
    case "BF16": {
      const bits = numberToBf16(value);
      finite(dataType, value, bf16ToNumber(bits), index, reject);
      return bits;
    }
    default: {
      const [least, most] = integerRanges[dataType];
      if (!Number.isInteger(value)) return reject(index, `wants a whole number for ${dataType}, got ${show(value)}`);
      return value >= least && value <= most ? value : reject(index, `is out of the range of ${dataType}: ${show(value)}`);
    }
  }
}

function finite(dataType: DataType, value: number, rounded: number, index: number, reject: RejectElement): number {
  return Number.isFinite(value) && !Number.isFinite(rounded)
    ? reject(index, `is out of the range of ${dataType}: ${show(value)}`)
    : rounded;
}

/** One element of a tensor's data as a plain value. */
export function decodeElement(dataType: DataType, element: number | bigint | string | Uint8Array): TensorElement {
  if (typeof element !== "number") return element;
  if (dataType === "BOOL") return element !== 0;
  if (dataType === "FP16") return fp16ToNumber(element);
  return dataType === "BF16" ? bf16ToNumber(element) : element;
}
