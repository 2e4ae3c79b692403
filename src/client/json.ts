import { ServableError, formatPath, messageOf, type FieldIssue, type JsonValue } from "../errors.ts";

/** Reads JSON. `JSON.parse` gives nothing but JSON values, which its own type does not say. */
export function parseJson(text: string): JsonValue {
  return JSON.parse(text) as JsonValue;
}

/** Its own type does not say that undefined, a function and a symbol have no JSON. */
const stringify: (value: unknown) => string | undefined = JSON.stringify;

/** Whether a JSON value is an object. */
export function isJsonObject(value: JsonValue | undefined): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Writes an input as JSON; undefined as nothing at all.
 *
 * @throws ServableError `invalid_request` for what JSON can't carry: NaN and infinities (which JSON.stringify would quietly turn
 * into null), a bigint, an object that contains itself
 */
export function writeJson(input: unknown): string {
  let text: string | undefined;
  try {
    text = stringify(input);
  } catch (thrown) {
    throw new ServableError("invalid_request", `The input can't be written as JSON: ${messageOf(thrown)}`, { cause: thrown });
  }
  // A replacer would slow down every call several times; only a text with a null in it can hide such a number.
  if (text?.includes("null")) refuseNonFinite(input);
  return text ?? "";
}

function refuseNonFinite(input: unknown): void {
  const paths = new Map<unknown, FieldIssue["path"]>();
  JSON.stringify(input, function (this: unknown, key: string, value: unknown): unknown {
    const parent = paths.get(this);
    const path = parent === undefined ? [] : [...parent, Array.isArray(this) ? Number(key) : key];
    if (typeof value === "object" && value !== null) paths.set(value, path);
    if (typeof value === "number" && !Number.isFinite(value)) {
      const message = `JSON can't carry ${value}`;
      throw new ServableError("invalid_request", `The input has ${value} at ${formatPath(path)}; JSON can't carry it.`, {
        issues: [{ path, message }],
      });
    }
    return value;
  });
}
