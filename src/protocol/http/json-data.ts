import { arrayTypes, isDataType, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { InferenceError } from "../inference-error.ts";
import { tooDeep, type WireValue } from "./lenient-json.ts";
import { InexactInteger, kindFailure } from "./members.ts";
import { rawBytes } from "./read-text.ts";

/** How deep the data of a tensor may nest. */
const maxDataDepth = 100;
const what = "Unable to parse 'data'";

interface Cursor<T> {
  readonly target: T;
  readonly size: number;
  /** Whether integers beyond 2^53 came as bigints. */
  readonly exact: boolean;
  index: number;
}

/** How a JSON text was read. */
export interface JsonReading {
  /** Whether integers beyond 2^53 are bigints in it. */
  readonly exact: boolean;
  /** Whether it is UTF-8; see `BodyText`. */
  readonly sound: boolean;
}

/** An input's name, and what the wire says it is. */
interface JsonInput {
  readonly name: string;
  readonly dataType: string;
}

/**
 * The elements of a tensor out of `data`, nested or flat. Integers too large for their data type are cut off, not refused, as Triton
 * does it: 300 is 44 as an INT8.
 *
 * @param size - how many elements the shape has room for; of BYTES that is checked later, when the model is known
 * @throws InferenceError; InexactInteger where digits were lost
 */
export function readJsonData({ name, dataType }: JsonInput, values: WireValue[], size: number, { exact, sound }: JsonReading): TensorData {
  if (dataType === "FP16" || dataType === "BF16") {
    const text = `receiving ${dataType} data via JSON is not supported. Please use the binary data format for input ${name}`;
    throw new InferenceError("INVALID_ARG", text);
  }
  if (!isDataType(dataType)) throw new InferenceError("INVALID_ARG", `invalid datatype for input ${name}`);
  if (dataType === "BYTES") {
    const strings: string[] = [];
    readStrings(strings, values, 1);
    return sound ? strings : strings.map(rawBytes);
  }
  const target = new arrayTypes[dataType](size);
  const index = readInto(dataType, target, values, size, exact);
  if (index < size) throw tooShort();
  return target;
}

/** The failure of data with fewer elements than their shape has room for. */
export function tooShort(): InferenceError {
  return new InferenceError("INTERNAL", "Failed to parse 'data' field: shape does not match true shape");
}

function readInto(dataType: DataType, target: TensorData, values: WireValue[], size: number, exact: boolean): number {
  if (target instanceof Float32Array || target instanceof Float64Array) {
    const cursor = { target, size, exact, index: 0 };
    readFloats(cursor, values, 1);
    return cursor.index;
  }
  if (target instanceof BigInt64Array || target instanceof BigUint64Array) {
    const cursor = { target, size, exact, index: 0 };
    readBigints(cursor, values, 1);
    return cursor.index;
  }
  const cursor = { target: target as Int32Array, size, exact, index: 0 };
  if (dataType === "BOOL") readBooleans(cursor, values, 1);
  else if (dataType.startsWith("U")) readUnsigned(cursor, values, 1);
  else readSigned(cursor, values, 1);
  return cursor.index;
}

function readFloats(cursor: Cursor<Float32Array | Float64Array>, values: WireValue[], depth: number): void {
  const { target, size } = cursor;
  for (const value of values) {
    if (Array.isArray(value)) {
      readFloats(cursor, value, deeper(depth));
      continue;
    }
    if (cursor.index >= size) throw tooLong();
    if (typeof value === "number") target[cursor.index++] = value;
    else if (typeof value === "bigint") target[cursor.index++] = Number(value);
    else throw kindFailure(what, "JSON non-number as double");
  }
}

function readSigned(cursor: Cursor<Int8Array | Int16Array | Int32Array>, values: WireValue[], depth: number): void {
  const { target, size } = cursor;
  for (const value of values) {
    if (Array.isArray(value)) {
      readSigned(cursor, value, deeper(depth));
      continue;
    }
    if (cursor.index >= size) throw tooLong();
    // A typed array keeps the lowest bits of a number, so far as those are in it.
    target[cursor.index++] = Number.isSafeInteger(value) ? (value as number) : Number(BigInt.asIntN(32, signedOf(value, cursor.exact)));
  }
}

function readUnsigned(cursor: Cursor<Int8Array | Int16Array | Int32Array>, values: WireValue[], depth: number): void {
  const { target, size } = cursor;
  for (const value of values) {
    if (Array.isArray(value)) {
      readUnsigned(cursor, value, deeper(depth));
      continue;
    }
    if (cursor.index >= size) throw tooLong();
    target[cursor.index++] =
      Number.isSafeInteger(value) && (value as number) >= 0
        ? (value as number)
        : Number(BigInt.asUintN(32, unsignedOf(value, cursor.exact)));
  }
}

function readBigints(cursor: Cursor<BigInt64Array | BigUint64Array>, values: WireValue[], depth: number): void {
  const { target, size } = cursor;
  const signed = target instanceof BigInt64Array;
  for (const value of values) {
    if (Array.isArray(value)) {
      readBigints(cursor, value, deeper(depth));
      continue;
    }
    if (cursor.index >= size) throw tooLong();
    target[cursor.index++] = signed ? signedOf(value, cursor.exact) : unsignedOf(value, cursor.exact);
  }
}

function readBooleans(cursor: Cursor<{ [index: number]: number }>, values: WireValue[], depth: number): void {
  for (const value of values) {
    if (Array.isArray(value)) {
      readBooleans(cursor, value, deeper(depth));
      continue;
    }
    if (cursor.index >= cursor.size) throw tooLong();
    if (typeof value !== "boolean") throw kindFailure(what, "JSON non-boolean as boolean");
    cursor.target[cursor.index++] = value ? 1 : 0;
  }
}

function readStrings(strings: string[], values: WireValue[], depth: number): void {
  for (const value of values) {
    if (Array.isArray(value)) readStrings(strings, value, deeper(depth));
    else if (typeof value === "string") strings.push(value);
    else throw kindFailure("Unable to parse JSON bytes array", "JSON non-string as string");
  }
}

function signedOf(value: WireValue | undefined, exact: boolean): bigint {
  const whole = wholeOf(value, exact);
  if (whole === undefined || whole >= 2n ** 63n) throw kindFailure(what, "JSON non-signed-integer as signed-integer");
  return whole;
}

function unsignedOf(value: WireValue | undefined, exact: boolean): bigint {
  const whole = wholeOf(value, exact);
  if (whole === undefined || whole < 0n) throw kindFailure(what, "JSON non-unsigned-integer as unsigned-integer");
  return whole;
}

function wholeOf(value: WireValue | undefined, exact: boolean): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value !== "number" || !Number.isInteger(value)) return undefined;
  if (Number.isSafeInteger(value)) return BigInt(value);
  if (exact) return undefined;
  throw new InexactInteger();
}

function deeper(depth: number): number {
  if (depth >= maxDataDepth) throw tooDeep(maxDataDepth);
  return depth + 1;
}

function tooLong(): InferenceError {
  return new InferenceError("INTERNAL", `${what}: Shape does not match true shape of 'data' field`);
}
