import type { IncomingMessage } from "node:http";
import { messageOf } from "../../../errors.ts";
import { InferenceError } from "../../../protocol/inference-error.ts";
import { NodeBody } from "../node-body.ts";
import { wrongKind } from "./failure.ts";

/** An object of a request's JSON. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads the body of a route that is not an inference; an empty one is an empty object. How long it may take to arrive is the listener's
 * to say.
 *
 * @throws InferenceError
 */
export async function readJsonBody(message: IncomingMessage, maxBytes: number): Promise<JsonObject> {
  const bytes = await new Promise<Uint8Array>((resolve, reject) => {
    new NodeBody(message).whole(maxBytes, resolve, reject);
  });
  return bytes.byteLength === 0 ? {} : parseJsonObject(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
}

function parseJsonObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new InferenceError("INTERNAL", `failed to parse the request JSON buffer: ${messageOf(thrown)}`, { cause: thrown });
  }
  return isObject(value) ? value : {};
}

/** The object that stands under a name; undefined where there is nothing. @throws InferenceError for anything else */
export function objectOf(from: JsonObject, name: string): JsonObject | undefined {
  const value = from[name];
  if (value === undefined) return undefined;
  if (!isObject(value)) throw wrongKind("object");
  return value;
}

/** @throws InferenceError */
export function textOf(value: unknown): string {
  if (typeof value !== "string") throw wrongKind("string");
  return value;
}

/** @throws InferenceError */
export function booleanOf(value: unknown): boolean {
  if (typeof value !== "boolean") throw wrongKind("boolean");
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
