import { InferenceError } from "./inference-error.ts";

/** How versions are written where nothing is odd about them. */
const usual = /^[1-9]\d{0,14}$/;
/** What C's `stol` reads of a text: what follows the digits does not matter to it. */
const leading = /^[ \t\n\v\f\r]*([+-]?)0*(\d+)/;
const largest = 2n ** 63n;

/**
 * The version that a text on the wire means, as models are known by it: digits with no zeros before them; empty for the newest.
 *
 * @throws InferenceError `INVALID_ARG` for what Triton takes for no version
 */
export function modelVersionOf(text: string): string {
  if (text === "" || usual.test(text)) return text;
  const [, sign, digits] = leading.exec(text) ?? [];
  if (digits === undefined || !isIn64Bits(sign === "-", digits)) {
    throw noVersion(`failed to get model version from specified version string '${text}' (details: stol)`);
  }
  if (sign === "-" && digits !== "0") throw noVersion(`invalid model version specified '${text}' `);
  return digits;
}

function isIn64Bits(isNegative: boolean, digits: string): boolean {
  if (digits.length > 19) return false;
  const value = BigInt(digits);
  return isNegative ? value <= largest : value < largest;
}

function noVersion(what: string): InferenceError {
  return new InferenceError("INVALID_ARG", `${what}, version should be an integral value > 0`);
}
