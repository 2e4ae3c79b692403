import { arrayTypes, byteSizeOf, isDataType, type DataType, type FixedDataType, type TensorData } from "../tensor/data-type.ts";
import type { InferInput } from "./inference.ts";
import { InferenceError } from "./inference-error.ts";

/** Whose input it is, for messages. */
export interface ElementsContext {
  readonly modelName: string;
  /** The request's own id; empty where it has none. */
  readonly requestId: string;
}

// The wire is little-endian, and so is every machine that runs JavaScript in earnest; on another one this says it at once.
const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const encoder = new TextEncoder();
// `ignoreBOM` keeps a byte order mark that an element begins with.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lengthBytes = 4;

/** What most texts of a Triton server about a request begin with. */
export function requestPrefix(requestId: string): string {
  return `[request id: ${requestId === "" ? "<id_unknown>" : requestId}] `;
}

/**
 * The elements of an input, whose data type the model has by now been found to want: as they are, or read out of its bytes by data type
 * and shape. What has no lengths of its own is a view on the bytes where they are aligned, else a copy.
 *
 * @throws InferenceError `INVALID_ARG` where there are more or fewer elements than the shape has room for
 */
export function elementsOf(input: InferInput, context: ElementsContext): TensorData {
  const { name, dataType, shape, data, bytes } = input;
  if (!isDataType(dataType)) {
    throw new InferenceError("INVALID_ARG", `${requestPrefix(context.requestId)}inference input '${name}' has no data type that exists`);
  }
  const size = countElements(name, dataType, shape);
  if (data !== undefined) {
    checkCount(input, dataType, size, data.length, context);
    return data;
  }
  const raw = bytes ?? new Uint8Array(0);
  if (dataType === "BYTES") return readStrings(raw, size, name, context);
  const expected = size * arrayTypes[dataType].BYTES_PER_ELEMENT;
  if (raw.byteLength !== expected) throw sizeMismatch(name, expected, raw.byteLength, context);
  return dataOfBytes(dataType, raw);
}

/**
 * How many elements the shape of an input has room for.
 *
 * @throws InferenceError `INVALID_ARG` where they, or their bytes, can't be counted in 64 bits
 */
export function countElements(name: string, dataType: string, shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) {
    size *= dimension;
    if (size >= 2 ** 63) {
      const text = `shape [${shape.join(",")}] of input '${name}' causes total element count to exceed maximum size of 9223372036854775807`;
      throw new InferenceError("INVALID_ARG", text);
    }
  }
  const elementBytes = isDataType(dataType) && dataType !== "BYTES" ? arrayTypes[dataType].BYTES_PER_ELEMENT : 1;
  if (size * elementBytes >= 2 ** 63) throw new InferenceError("INVALID_ARG", `byte size overflow for input '${name}'`);
  return size;
}

function checkCount(input: InferInput, dataType: DataType, expected: number, got: number, context: ElementsContext): void {
  if (got === expected) return;
  if (dataType === "BYTES")
    throw got > expected ? tooManyStrings(input.name, expected, context) : tooFewStrings(input.name, expected, got, context);
  const elementBytes = byteSizeOf(dataType) ?? 1;
  throw sizeMismatch(input.name, expected * elementBytes, got * elementBytes, context);
}

/** Elements of fixed size out of little-endian bytes, a whole number of them; a view where the bytes are aligned, else a copy. */
export function dataOfBytes<D extends FixedDataType>(dataType: D, bytes: Uint8Array): TensorData<D> {
  const type = arrayTypes[dataType];
  const elementBytes = type.BYTES_PER_ELEMENT;
  const count = bytes.byteLength / elementBytes;
  if (!littleEndian && elementBytes > 1) return new type(swapped(bytes, elementBytes).buffer);
  if (bytes.byteOffset % elementBytes === 0) return new type(bytes.buffer, bytes.byteOffset, count);
  // Not `slice`, which of Node's Buffers is a view.
  return new type(new Uint8Array(bytes).buffer, 0, count);
}

/** A tensor's elements as the wire has them: a view where they have one size, else (BYTES) a new buffer. */
export function bytesOfData(dataType: DataType, data: TensorData): Uint8Array {
  if (!ArrayBuffer.isView(data)) return writeStrings(data);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const elementBytes = byteSizeOf(dataType) ?? 1;
  return littleEndian || elementBytes === 1 ? bytes : swapped(bytes, elementBytes);
}

/** BYTES as the wire has them: before each element its length, in four bytes. */
export function writeStrings(elements: readonly (string | Uint8Array)[]): Uint8Array {
  // A UTF-16 unit takes three bytes at most; what is too much is given back below.
  let room = 0;
  for (const element of elements) room += lengthBytes + (typeof element === "string" ? element.length * 3 : element.byteLength);
  const target = new Uint8Array(room);
  const view = new DataView(target.buffer);
  let offset = 0;
  for (const element of elements) {
    const start = offset + lengthBytes;
    let length: number;
    if (typeof element === "string") {
      length = encoder.encodeInto(element, target.subarray(start)).written;
    } else {
      target.set(element, start);
      length = element.byteLength;
    }
    view.setUint32(offset, length, true);
    offset = start + length;
  }
  return target.subarray(0, offset);
}

/**
 * Reads BYTES. An element is text where its bytes are UTF-8, else a view on its bytes.
 *
 * @throws InferenceError `INVALID_ARG` where lengths and count do not add up
 */
export function readStrings(bytes: Uint8Array, count: number, name: string, context: ElementsContext): (string | Uint8Array)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elements: (string | Uint8Array)[] = [];
  let offset = 0;
  while (offset < bytes.byteLength) {
    const left = bytes.byteLength - offset;
    if (left < lengthBytes) throw incompleteLength(name, left, context);
    if (elements.length >= count) throw tooManyStrings(name, count, context);
    const length = view.getUint32(offset, true);
    offset += lengthBytes;
    if (length > bytes.byteLength - offset) throw incompleteString(name, length, bytes.byteLength - offset, context);
    elements.push(textOrBytes(bytes.subarray(offset, offset + length)));
    offset += length;
  }
  if (elements.length !== count) throw tooFewStrings(name, count, elements.length, context);
  return elements;
}

/** The same bytes as a plain Uint8Array: of Node's Buffers, whose `slice` and `toString` are others, nothing is handed on. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes as text where they are UTF-8, else as they are. */
export function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  try {
    return decoder.decode(bytes);
  } catch {
    return bytes;
  }
}

function swapped(bytes: Uint8Array, elementBytes: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  for (let start = 0; start < copy.length; start += elementBytes) copy.subarray(start, start + elementBytes).reverse();
  return copy;
}

function sizeMismatch(name: string, expected: number, got: number, { modelName, requestId }: ElementsContext): InferenceError {
  const text = `input byte size mismatch for input '${name}' for model '${modelName}'. Expected ${expected}, got ${got}`;
  return new InferenceError("INVALID_ARG", requestPrefix(requestId) + text);
}

function tooFewStrings(name: string, expected: number, got: number, { modelName, requestId }: ElementsContext): InferenceError {
  const text = `expected ${expected} string elements for inference input '${name}' for model '${modelName}', got ${got}`;
  return new InferenceError("INVALID_ARG", requestPrefix(requestId) + text);
}

/** Counting stops at the first one too many, as it does in Triton. */
function tooManyStrings(name: string, expected: number, { modelName, requestId }: ElementsContext): InferenceError {
  const text = `unexpected number of string elements ${expected + 1} for inference input '${name}' for model '${modelName}', expecting ${expected}`;
  return new InferenceError("INVALID_ARG", requestPrefix(requestId) + text);
}

function incompleteLength(name: string, left: number, { modelName, requestId }: ElementsContext): InferenceError {
  const text =
    `incomplete string length indicator for inference input '${name}' for model '${modelName}', expecting ${lengthBytes} bytes but only ` +
    `${left} bytes available. Please make sure the string length indicator is in one buffer.`;
  return new InferenceError("INVALID_ARG", requestPrefix(requestId) + text);
}

function incompleteString(name: string, length: number, left: number, { modelName, requestId }: ElementsContext): InferenceError {
  const text =
    `incomplete string data for inference input '${name}' for model '${modelName}', expecting string of length ${length} but only ` +
    `${left} bytes available`;
  return new InferenceError("INVALID_ARG", requestPrefix(requestId) + text);
}
