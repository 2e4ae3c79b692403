/**
 * Bytes that a service may keep and view as it likes: a plain Uint8Array that starts where its memory starts. A body may lie inside a
 * larger buffer (Node's pool of small ones), where `data.buffer` would show other requests' bytes.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength) {
    return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer);
  }
  // Not bytes.slice(): a Buffer's own slice is a view.
  return new Uint8Array(bytes);
}
