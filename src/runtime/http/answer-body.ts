/** The body of an answer; parts are sent one after another, uncopied. */
export type AnswerBody = string | Uint8Array | readonly Uint8Array[];

/** How many bytes it has. */
export function lengthOf(body: AnswerBody): number {
  if (typeof body === "string") return Buffer.byteLength(body);
  if (body instanceof Uint8Array) return body.byteLength;
  return body.reduce((sum, part) => sum + part.byteLength, 0);
}
