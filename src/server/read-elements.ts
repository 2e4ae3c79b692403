import { Buffer, isUtf8 } from "node:buffer";
import { InferenceError } from "../protocol/inference-error.ts";
import { arrayTypes, type FixedDataType, type TensorData } from "../tensor/data-type.ts";

/** Elements of one size out of their bytes: on the same memory where they lie as an array needs them to, else copied. */
export function readFixed(dataType: FixedDataType, bytes: Uint8Array): TensorData {
  const type = arrayTypes[dataType];
  const { buffer, byteOffset, byteLength } = bytes;
  if (byteOffset % type.BYTES_PER_ELEMENT === 0) return new type(buffer, byteOffset, byteLength / type.BYTES_PER_ELEMENT);
  // A Buffer's own slice would be a view on the same, badly aligned memory.
  return new type(Uint8Array.prototype.slice.call(bytes).buffer);
}

/**
 * Elements of BYTES, each behind its length: as texts, and as bytes where they are none.
 *
 * @param where - the start of what is wrong, for messages
 * @param expected - how many there should be
 * @throws InferenceError `INVALID_ARG`
 */
export function readBytes(bytes: Uint8Array, where: string, input: string, model: string, expected: number): readonly (string | Uint8Array)[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elements: (string | Uint8Array)[] = [];
  let offset = 0;
  while (offset < buffer.length) {
    if (buffer.length - offset < 4) throw new InferenceError("INVALID_ARG", `${where}element byte size indicator exceeds the end of the buffer.`);
    const start = offset + 4;
    const end = start + buffer.readUInt32LE(offset);
    if (end > buffer.length) {
      const rest = buffer.length - start;
      throw new InferenceError(
        "INVALID_ARG",
        `${where}incomplete string data for inference input '${input}', expecting string of length ${end - start} but only ${rest} bytes available.`,
      );
    }
    // One more than expected is enough to know that there are too many; what follows need not be kept.
    if (elements.length <= expected) elements.push(textOrBytes(buffer.subarray(start, end)));
    else elements.length += 1;
    offset = end;
  }
  if (elements.length === expected) return elements;
  throw new InferenceError(
    "INVALID_ARG",
    `${where}expected ${expected} string elements for inference input '${input}' for model '${model}', got ${elements.length}`,
  );
}

function textOrBytes(bytes: Buffer): string | Uint8Array {
  // Copied: a view would keep, and take along to the model's thread, the whole body.
  return isUtf8(bytes) ? bytes.toString("utf8") : Uint8Array.prototype.slice.call(bytes);
}
