import { InferenceError } from "../inference-error.ts";
import type { WireObject, WireValue } from "./lenient-json.ts";

/**
 * Thrown where `JSON.parse` has lost the last digits of an integer that matters: the text is read again, exactly. It never leaves the
 * reading of one body.
 */
export class InexactInteger extends Error {}

/** A member of an object; undefined where there is none, or where it is no object. */
export function memberOf(value: WireValue | undefined, name: string): WireValue | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Whether a value is an object, and no list. */
export function isObject(value: WireValue | undefined): value is WireObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A failure with the words of the parser that Triton uses. */
export function kindFailure(what: string, reason: string): InferenceError {
  return new InferenceError("INTERNAL", `${what}: attempt to access ${reason}`);
}

/** @throws InferenceError `INTERNAL` where there is no such member, or it is no text */
export function stringMember(value: WireValue | undefined, name: string): string {
  const member = requiredMember(value, name);
  if (typeof member !== "string") throw kindFailure(`Unable to parse '${name}'`, "JSON non-string as string");
  return member;
}

/** @throws InferenceError `INTERNAL` where there is no such member, or it is no list */
export function arrayMember(value: WireValue | undefined, name: string): WireValue[] {
  const member = requiredMember(value, name);
  if (!Array.isArray(member)) throw kindFailure(`Unable to parse '${name}'`, "JSON non-array as array");
  return member;
}

/** @throws InferenceError `INTERNAL` where it is neither true nor false */
export function booleanOf(value: WireValue, what: string): boolean {
  if (typeof value !== "boolean") throw kindFailure(what, "JSON non-boolean as boolean");
  return value;
}

/**
 * A whole number from 0; one beyond 2^53 as the nearest number, since all that it is used for is to be too large.
 *
 * @throws InferenceError `INTERNAL` where it is none
 */
export function unsignedOf(value: WireValue, what: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 64) return value;
  if (typeof value === "bigint" && value >= 0n) return Number(value);
  throw kindFailure(what, "JSON non-unsigned-integer as unsigned-integer");
}

function requiredMember(value: WireValue | undefined, name: string): WireValue {
  const member = memberOf(value, name);
  if (member === undefined) throw kindFailure(`Unable to parse '${name}'`, `non-existing object member '${name}'`);
  return member;
}
