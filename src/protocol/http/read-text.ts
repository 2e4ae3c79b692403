import { tooDeep } from "./lenient-json.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const byteOrderMark = 0xfeff;
const encoder = new TextEncoder();
// Bodies below this can't hold enough brackets to be a burden.
const harmlessLength = 65_536;
const maxDepth = 500;
// With `u` these match lone surrogates alone.
const escapedBytes = /[\udc80-\udcff]/u;
const halves = /[\ud800-\udfff]/gu;
const escapedRuns = /([\udc80-\udcff]+)/u;

/** A body as text. */
export interface BodyText {
  readonly text: string;
  /** Whether it is UTF-8. Where it is not, each byte that is none is a lone surrogate from U+DC80 on, out of which `rawBytes` makes it again. */
  readonly sound: boolean;
}

/**
 * Decodes a body so that no byte is lost, UTF-8 or not: Triton hands on what stands between two quotes as it is. A byte order mark before it all is
 * passed over, as Triton's parser does.
 */
export function decodeBody(bytes: Uint8Array): BodyText {
  try {
    return { text: withoutMark(decoder.decode(bytes)), sound: true };
  } catch {
    return { text: withoutMark(decodeEscaping(bytes)), sound: false };
  }
}

function withoutMark(text: string): string {
  return text.charCodeAt(0) === byteOrderMark ? text.slice(1) : text;
}

function decodeEscaping(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let start = 0; start < bytes.length;) {
    const length = sequenceLength(bytes, start);
    if (length === 0) {
      parts.push(String.fromCharCode(0xdc00 + (bytes[start] ?? 0)));
      start++;
    } else {
      let end = start + length;
      for (let next = sequenceLength(bytes, end); next > 0; next = sequenceLength(bytes, end)) end += next;
      parts.push(decoder.decode(bytes.subarray(start, end)));
      start = end;
    }
  }
  return parts.join("");
}

/** How many bytes the character at `at` takes; 0 where there is none, or it is not UTF-8 (RFC 3629, section 4). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at];
  if (first === undefined) return 0;
  if (first < 0x80) return 1;
  const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length === 0) return 0;
  const second = bytes[at + 1] ?? 0;
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let index = 2; index < length; index++) if (((bytes[at + index] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/** A text that JSON and messages of errors can hold: halves of characters, and bytes that were none, become U+FFFD. */
export function wholeText(text: string): string {
  return text.replace(halves, "\ufffd");
}

/** A text of a body that is not `sound`: itself, or its bytes where some of them are not UTF-8. */
export function rawBytes(text: string): string | Uint8Array {
  if (!escapedBytes.test(text)) return text;
  const parts = text.split(escapedRuns).map((part, index) => (index % 2 === 0 ? encoder.encode(part) : unescapeRun(part)));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function unescapeRun(run: string): Uint8Array {
  return Uint8Array.from(run, (character) => character.charCodeAt(0) - 0xdc00);
}

/**
 * Refuses a body that nests deeper than anything needs, before it is parsed: a parser makes an object of each of its brackets.
 *
 * @throws InferenceError `INVALID_ARG`
 */
export function checkDepth(bytes: Uint8Array): void {
  if (bytes.length <= harmlessLength) return;
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0x22) {
      at = endOfString(bytes, at + 1);
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) throw tooDeep(maxDepth);
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--;
    }
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0x22, start); at !== -1; at = bytes.indexOf(0x22, at + 1)) {
    let escapes = 0;
    while (at - escapes > start && bytes[at - escapes - 1] === 0x5c) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return bytes.length;
}
