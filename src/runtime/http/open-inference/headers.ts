import type { IncomingHttpHeaders } from "node:http";
import { InferenceError } from "../../../protocol/inference-error.ts";
import type { InferParameters } from "../../../protocol/inference.ts";
import { headerLengthName } from "../../../protocol/http/header-length.ts";
import type { JoinParts } from "../node-body.ts";

/** The header that tells how much of a body is JSON; undefined where there is none. */
export function headerLengthText(headers: IncomingHttpHeaders): string | undefined {
  const text = headers[headerLengthName];
  return Array.isArray(text) ? text.join(", ") : text;
}

/** How many bytes a body may have, from what its head says before it comes. What is no length is refused when the body is there. */
export function bodyLimit(headerLength: string | undefined, maxInputBytes: number, maxBinaryBytes: number): number {
  const length = Number(headerLength ?? 0);
  // All of it is JSON, or a raw tensor.
  if (!(length > 0)) return maxInputBytes;
  if (length <= maxInputBytes) return length + maxBinaryBytes;
  throw new InferenceError(
    "INVALID_ARG",
    `request JSON size of ${length} bytes exceeds the maximum allowed input size of ${maxInputBytes} bytes. ` +
      "Use --http-max-input-size to increase the limit.",
  );
}

/** Headers whose names a pattern matches, as parameters of the request; undefined for none. */
export function forwardedHeaders(headers: IncomingHttpHeaders, pattern: RegExp): InferParameters | undefined {
  const forwarded: Record<string, string> = {};
  let isAny = false;
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === "__proto__" || !pattern.test(name)) continue;
    forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
    isAny = true;
  }
  return isAny ? forwarded : undefined;
}

/** The widest element has 8 bytes; typed arrays want to begin on a multiple of that. */
const widest = 8;

/**
 * Joins the parts of a body so that what follows its JSON can be read in place.
 *
 * @param headerLength - how long its head says that the JSON is; what is no length is refused only after the parts are joined
 */
export function joinAligned(headerLength: string): JoinParts {
  const length = Number(headerLength);
  const begin = Number.isSafeInteger(length) && length > 0 ? (widest - (length % widest)) % widest : 0;
  return (parts, size) => {
    // Not of the pool, whose pieces begin anywhere.
    const memory = Buffer.allocUnsafeSlow(begin + size);
    let at = begin;
    for (const part of parts) {
      memory.set(part, at);
      at += part.byteLength;
    }
    return memory.subarray(begin);
  };
}
