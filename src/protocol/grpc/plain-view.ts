/** A view that is no Buffer: of those `slice` gives views, where it copies everywhere else. */
export function plainView({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
