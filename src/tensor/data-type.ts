/** The array that holds a tensor of each data type. The names are those of the Open Inference Protocol, version 2. */
export interface TensorDataMap {
  /** 0 or 1. */
  readonly BOOL: Uint8Array;
  readonly INT8: Int8Array;
  readonly INT16: Int16Array;
  readonly INT32: Int32Array;
  readonly INT64: BigInt64Array;
  readonly UINT8: Uint8Array;
  readonly UINT16: Uint16Array;
  readonly UINT32: Uint32Array;
  readonly UINT64: BigUint64Array;
  /** IEEE 754 half precision, as bit patterns. */
  readonly FP16: Uint16Array;
  /** bfloat16, the upper half of a float32, as bit patterns. */
  readonly BF16: Uint16Array;
  readonly FP32: Float32Array;
  readonly FP64: Float64Array;
  /** Text, or bytes of any length. */
  readonly BYTES: readonly (string | Uint8Array)[];
}

/** What the elements of a tensor are. */
export type DataType = keyof TensorDataMap;

/** The data types whose elements all have one size; all but `BYTES`. */
export type FixedDataType = Exclude<DataType, "BYTES">;

/** The array that holds the elements of a tensor of type D. */
export type TensorData<D extends DataType = DataType> = TensorDataMap[D];

/** What one element of a tensor of type D is in plain JavaScript. */
export type TensorElement<D extends DataType = DataType> = D extends "BOOL"
  ? boolean
  : D extends "INT64" | "UINT64"
    ? bigint
    : D extends "BYTES"
      ? string | Uint8Array
      : number;

/** Every {@link DataType}. */
export const dataTypes: readonly DataType[] = [
  "BOOL",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "FP16",
  "BF16",
  "FP32",
  "FP64",
  "BYTES",
];

/** Constructs typed arrays of one kind: zeros of a length, or a view on a buffer. */
export interface TypedArrayConstructor<T> {
  new (length: number): T;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): T;
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
}

/** The typed array of each data type of fixed size. */
export const arrayTypes: { readonly [D in FixedDataType]: TypedArrayConstructor<TensorData<D>> } = {
  BOOL: Uint8Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

/** Bytes of one element; undefined for `BYTES`, whose elements have any length. */
export function byteSizeOf(dataType: DataType): number | undefined {
  return dataType === "BYTES" ? undefined : arrayTypes[dataType].BYTES_PER_ELEMENT;
}

/** Whether a value is the name of a data type. */
export function isDataType(value: unknown): value is DataType {
  return value === "BYTES" || (typeof value === "string" && Object.hasOwn(arrayTypes, value));
}

/** What to call the array that a data type wants, in messages. */
export function arrayNameOf(dataType: DataType): string {
  return dataType === "BYTES" ? "an array of strings or Uint8Arrays" : `a ${arrayTypes[dataType].name}`;
}

/** What to call the array (or whatever else) that was given, in messages. */
export function nameOfData(data: unknown): string {
  const tag = Object.prototype.toString.call(data).slice(8, -1);
  return tag === "Array" ? "a plain array" : `${/^[AEIO]/.test(tag) ? "an" : "a"} ${tag}`;
}

/** Whether an array is of the kind that holds tensors of this data type. Arrays of another realm count, and so do Node's Buffers. */
export function isDataOf<D extends DataType>(dataType: D, data: unknown): data is TensorData<D> {
  if (dataType === "BYTES") return Array.isArray(data) && data.every(isBytesElement);
  const kind = kinds[dataType];
  if (kind === undefined || !ArrayBuffer.isView(data)) return false;
  // The tag names the kind whatever realm made the array, which `instanceof` does not, and takes longer to ask.
  return data instanceof kind || Object.prototype.toString.call(data) === `[object ${kind.name}]`;
}

/** Whether a value can be an element of a `BYTES` tensor. */
export function isBytesElement(value: unknown): value is string | Uint8Array {
  return typeof value === "string" || (ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === "[object Uint8Array]");
}

const kinds: Readonly<Record<string, TypedArrayConstructor<TensorData>>> = arrayTypes;
