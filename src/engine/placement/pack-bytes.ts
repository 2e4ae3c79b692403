/** From this size on a buffer is handed over instead of copied: below it copying is faster. */
export const transferBytes: number = 16 * 1024;

/**
 * Makes bytes ready to cross. A view on a larger buffer is cut out of it first (posting it would copy the whole buffer).
 * Only what was cut out here, or what the engine owns, is handed over; a user's array is never detached.
 *
 * @param owned - whether the engine made these bytes and nobody else holds them
 */
export function packBytes(bytes: Uint8Array, owned: boolean): { readonly bytes: Uint8Array; readonly transfer: ArrayBuffer[] } {
  const whole = bytes.byteLength === bytes.buffer.byteLength;
  const plain = whole ? bytes : Uint8Array.prototype.slice.call(bytes);
  const mine = owned || !whole;
  const { buffer } = plain;
  return { bytes: plain, transfer: mine && plain.byteLength >= transferBytes && buffer instanceof ArrayBuffer ? [buffer] : [] };
}
