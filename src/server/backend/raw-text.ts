import { Buffer, isUtf8 } from "node:buffer";
import { mapArrays, type NamedArrays } from "../../tensor/named-arrays.ts";
import { hasDataType, Tensor } from "../../tensor/tensor.ts";

/**
 * onnxruntime-node takes texts only, and ends each at its first NUL. So in a run in which some element is no text, or has a NUL, every byte that
 * could not pass becomes a character of its own, from the end of Unicode's private use, and is that byte again in the outputs. Models that
 * pass elements on, pick, compare or join them see nothing of it; one that looks into an element that is no text sees those characters.
 */
const firstEscape = 0x10ff00;
const escapes = /[\u{10ff00}-\u{10ffff}]/u;
const special = /[\0\u{10ff00}-\u{10ffff}]/u;

/** Named arrays in which every element of BYTES is a text that passes; `escaped` where some had to be changed for that. */
export function escapeBytes(named: NamedArrays): { readonly arrays: NamedArrays; readonly escaped: boolean } {
  const texts = Object.values(named).filter((array) => hasDataType(array, "BYTES"));
  if (!texts.some(({ data }) => data.some(needsEscape))) return { arrays: named, escaped: false };
  const arrays = mapArrays(named, (array) =>
    hasDataType(array, "BYTES")
      ? new Tensor(
          "BYTES",
          array.shape,
          array.data.map((element) => (needsEscape(element) ? escape(element) : element)),
        )
      : array,
  );
  return { arrays, escaped: true };
}

/** Puts the bytes back. */
export function unescapeBytes(named: NamedArrays): NamedArrays {
  return mapArrays(named, (array) =>
    hasDataType(array, "BYTES")
      ? new Tensor(
          "BYTES",
          array.shape,
          array.data.map((element) => (typeof element === "string" && escapes.test(element) ? unescape(element) : element)),
        )
      : array,
  );
}

function needsEscape(element: string | Uint8Array): boolean {
  return typeof element === "string" ? special.test(element) : !isUtf8(element) || special.test(Buffer.from(element).toString("utf8"));
}

function escape(element: string | Uint8Array): string {
  const bytes =
    typeof element === "string" ? Buffer.from(element, "utf8") : Buffer.from(element.buffer, element.byteOffset, element.byteLength);
  let text = "";
  let start = 0;
  while (start < bytes.length) {
    const length = lengthAt(bytes, start);
    const character = length === 0 ? "" : bytes.toString("utf8", start, start + length);
    const passes = length > 0 && !special.test(character);
    text += passes ? character : String.fromCodePoint(firstEscape + (bytes[start] ?? 0));
    start += passes ? length : 1;
  }
  return text;
}

/** How many bytes the character at a place has; 0 where there is none. */
function lengthAt(bytes: Buffer, start: number): number {
  const lead = bytes[start] ?? 0;
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return start + length <= bytes.length && isUtf8(bytes.subarray(start, start + length)) ? length : 0;
}

function unescape(text: string): string | Uint8Array {
  const parts: Uint8Array[] = [];
  for (const part of text.split(/([\u{10ff00}-\u{10ffff}])/u)) {
    const code = part.codePointAt(0) ?? 0;
    parts.push(code >= firstEscape ? Uint8Array.of(code - firstEscape) : Buffer.from(part, "utf8"));
  }
  const bytes = Buffer.concat(parts);
  return isUtf8(bytes) ? bytes.toString("utf8") : new Uint8Array(bytes);
}
