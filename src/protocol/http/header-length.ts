import { InferenceError } from "../inference-error.ts";

/** The header that tells where the JSON of a body ends and its binary tensors begin. */
export const headerLengthName = "inference-header-content-length";

/**
 * Reads {@link headerLengthName}.
 *
 * @param text - the header's value; undefined where there is none: the whole body is JSON
 * @param bodyLength - of the whole body, decompressed
 * @returns 0 for a raw binary request, whatever the reason
 * @throws InferenceError `INVALID_ARG` for what is no length, or one past the body
 */
export function readHeaderLength(text: string | undefined, bodyLength: number): number {
  if (text === undefined) return bodyLength;
  if (!/^[ \t]*[-+]?\d+[ \t]*$/.test(text)) {
    throw new InferenceError("INVALID_ARG", `Unable to parse Inference-Header-Content-Length, got: ${text}`);
  }
  const length = Number(text);
  if (length < 0 || length > bodyLength) throw headerLengthOutOfRange(text, bodyLength);
  return length;
}

/** The failure of a header length past the body. */
export function headerLengthOutOfRange(got: string, bodyLength: number): InferenceError {
  return new InferenceError("INVALID_ARG", `inference header size should be in range (0, ${bodyLength}), got: ${got}`);
}
