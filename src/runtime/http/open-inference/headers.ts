import type { IncomingHttpHeaders } from "node:http";
import { InferenceError } from "../../../protocol/inference-error.ts";
import type { InferParameters } from "../../../protocol/inference.ts";
import type { JoinParts } from "../node-body.ts";

/** How much of a body is JSON; the rest is binary tensors. 0 for a raw request, undefined where all of it is JSON. */
export const headerLengthName = "inference-header-content-length";

/** @throws InferenceError for what is no length, and for one over the limit */
export function headerLengthOf(headers: IncomingHttpHeaders, maxInputBytes: number): number | undefined {
  const text = headers[headerLengthName];
  if (text === undefined) return undefined;
  const length = typeof text === "string" && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
  if (length === undefined) {
    throw new InferenceError("INVALID_ARG", `Unable to parse Inference-Header-Content-Length, got: ${String(text).slice(0, 100)}`);
  }
  if (length > maxInputBytes) {
    throw new InferenceError(
      "INVALID_ARG",
      `request JSON size of ${length} bytes exceeds the maximum allowed input size of ${maxInputBytes} bytes. ` +
        "Use --http-max-input-size to increase the limit.",
    );
  }
  return length;
}

/** Headers that a pattern matches, as parameters of the request; undefined for none. */
export function forwardedHeaders(headers: IncomingHttpHeaders, pattern: RegExp): InferParameters | undefined {
  const forwarded: Record<string, string> = {};
  let isAny = false;
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !pattern.test(name)) continue;
    forwarded[name] = Array.isArray(value) ? value.join(", ") : value;
    isAny = true;
  }
  return isAny ? forwarded : undefined;
}

/** The widest element has 8 bytes; typed arrays want to begin on a multiple of that. */
const widest = 8;

/** Joins the parts of a body so that what follows its JSON can be read in place. */
export function joinAligned(headerLength: number): JoinParts {
  return (parts, size) => {
    const begin = (widest - (headerLength % widest)) % widest;
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
