/** A smaller answer is copied faster than it is read in pieces. */
const piecesFrom = 65_536;
/** The widest element has 8 bytes; typed arrays want to begin on a multiple of that. */
const widest = 8;

/**
 * Reads the body of an answer. Node's fetch joins the pieces of a body and then copies what it has joined; so large ones are joined here, with what
 * follows the JSON where elements of any size can be read in place.
 *
 * @param headerLength - how many bytes are JSON
 * @param inPieces - whether it is Node's fetch
 */
export async function readBody(response: Response, headerLength: number, inPieces: boolean): Promise<Uint8Array> {
  const { body, headers } = response;
  if (!inPieces || body === null || Number(headers.get("content-length") ?? 0) < piecesFrom) {
    return new Uint8Array(await response.arrayBuffer());
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    length += next.value.byteLength;
  }
  return joinAligned(parts, length, headerLength);
}

function joinAligned(parts: readonly Uint8Array[], length: number, headerLength: number): Uint8Array {
  const begin = Number.isSafeInteger(headerLength) && headerLength > 0 ? (widest - (headerLength % widest)) % widest : 0;
  const joined = new Uint8Array(begin + length);
  let offset = begin;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.byteLength;
  }
  return joined.subarray(begin);
}
