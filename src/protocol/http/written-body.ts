/** A body on its way out. */
export interface WrittenBody {
  /** Text where it is all there is: the host encodes it while it writes. */
  readonly json: string | Uint8Array;
  /** What comes behind it, one for each binary tensor that is not empty: views on the tensors' own memory, but for BYTES. */
  readonly chunks: readonly Uint8Array[];
  /** For the header that tells where the JSON ends; undefined where there is nothing behind it. */
  readonly headerLength: number | undefined;
  readonly contentType: "application/json" | "application/octet-stream";
}

const encoder = new TextEncoder();
// What the widest elements want to be aligned to.
const alignment = 8;
const blanks = " ".repeat(alignment - 1);

/** Puts JSON and binary tensors together. Blanks end the JSON where the first tensor would not be aligned: whoever reads it can use it as it is. */
export function joinBody(json: string | Uint8Array, chunks: readonly Uint8Array[]): WrittenBody {
  if (chunks.length === 0) return { json, chunks, headerLength: undefined, contentType: "application/json" };
  const padded = typeof json === "string" ? encoder.encode(json + blanks) : withBlanks(json);
  const headerLength = padded.length - (padded.length % alignment);
  return { json: padded.subarray(0, headerLength), chunks, headerLength, contentType: "application/octet-stream" };
}

function withBlanks(json: Uint8Array): Uint8Array {
  const padded = new Uint8Array(json.length + blanks.length).fill(0x20);
  padded.set(json);
  return padded;
}
