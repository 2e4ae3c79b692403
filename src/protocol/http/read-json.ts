import type { JsonReading } from "./json-data.ts";
import { parseLenientJson, type WireValue } from "./lenient-json.ts";
import { InexactInteger } from "./members.ts";
import { checkDepth, decodeBody } from "./read-text.ts";

/**
 * Parses JSON and reads it with `read`, a second time where `JSON.parse` has lost digits that matter, or does not know what Triton knows.
 *
 * @throws InferenceError
 */
export function readJsonBody<T>(json: Uint8Array, read: (value: WireValue, how: JsonReading) => T): T {
  checkDepth(json);
  const { text, sound } = decodeBody(json);
  const parsed = parseFast(text);
  if (parsed === undefined) return read(parseLenientJson(text), { exact: true, sound });
  try {
    return read(parsed, { exact: false, sound });
  } catch (thrown) {
    if (!(thrown instanceof InexactInteger)) throw thrown;
    return read(parseLenientJson(text), { exact: true, sound });
  }
}

function parseFast(text: string): WireValue | undefined {
  try {
    return JSON.parse(text) as WireValue;
  } catch {
    return undefined;
  }
}
