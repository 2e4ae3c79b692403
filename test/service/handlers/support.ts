import { expect } from "vitest";
import { ServableError, type ErrorCode } from "../../../src/errors.ts";
import type { HandlerContext, Payload } from "../../../src/service/handlers/handler.ts";

/** A context for handlers that are called by hand. */
export function contextFor(mediaType: string): HandlerContext {
  return { signal: new AbortController().signal, mediaType };
}

/** A body with its content type; a text is sent as UTF-8. */
export function payloadOf(body: string | Uint8Array, contentType?: string): Payload {
  return { contentType, body: typeof body === "string" ? new TextEncoder().encode(body) : body };
}

/** Runs work that must fail with a ServableError of this code, and gives the error. */
export async function failureOf(work: () => unknown, code: ErrorCode): Promise<ServableError> {
  let result: unknown;
  try {
    result = await work();
  } catch (error) {
    if (!ServableError.isInstance(error)) throw error;
    expect(error.code, error.message).toBe(code);
    return error;
  }
  throw new Error(`Expected ${code}, got ${String(result)}.`);
}
