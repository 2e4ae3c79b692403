import { arrayTypes, isDataOf, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { InferenceError } from "../inference-error.ts";

const encoder = new TextEncoder();

/** A tensor's data as raw contents: little-endian, row-major; BYTES with a length before each. Typed arrays are viewed, not copied. */
export function bytesOf(dataType: DataType, data: TensorData): Uint8Array {
  if (isDataOf("BYTES", data)) return packBytes(data);
  if (dataType === "BYTES") throw new InferenceError("INTERNAL", "a tensor of BYTES holds an array of texts or bytes");
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function packBytes(data: readonly (string | Uint8Array)[]): Uint8Array {
  const parts = data.map((element) => (typeof element === "string" ? encoder.encode(element) : element));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.byteLength, true);
    bytes.set(part, at + 4);
    at += 4 + part.byteLength;
  }
  return bytes;
}

/** Raw contents as a tensor's data; copied where they don't stand where elements may. @throws InferenceError `INVALID_ARG` */
export function dataOf(dataType: DataType, bytes: Uint8Array): TensorData {
  if (dataType === "BYTES") return unpackBytes(bytes);
  const type = arrayTypes[dataType];
  const size = type.BYTES_PER_ELEMENT;
  if (bytes.byteLength % size !== 0)
    throw new InferenceError("INVALID_ARG", `${bytes.byteLength} bytes are no whole number of ${dataType}`);
  const aligned = bytes.byteOffset % size === 0 ? bytes : Uint8Array.from(bytes);
  return new type(aligned.buffer, aligned.byteOffset, bytes.byteLength / size);
}

function unpackBytes(bytes: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elements: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength;) {
    const length = at + 4 <= bytes.byteLength ? view.getUint32(at, true) : Infinity;
    const end = at + 4 + length;
    if (end > bytes.byteLength) throw new InferenceError("INVALID_ARG", "the lengths of BYTES elements go beyond their end");
    elements.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return elements;
}
