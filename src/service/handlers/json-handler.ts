import secureJsonParse from "secure-json-parse";
import { formatPath, ServableError, type FieldIssue } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { Payload, RequestHandler, ResponseHandler } from "./handler.ts";
import { findJsonSyntaxError } from "./json-syntax.ts";
import { holdsTypedArray, toPlain } from "./plain-value.ts";

/** What can be set of a {@link JsonHandler}. */
export interface JsonHandlerOptions {
  /**
   * How many lists and objects may stand inside one another in a request. Code that follows a value down recursively, a schema's
   * among it, fails on some tens of thousands. @default 1000
   */
  readonly maxDepth?: number | undefined;
}

const keys = { maxDepth: true } satisfies KeysOf<JsonHandlerOptions>;

/** At most this many fields are named in one error. */
const maxIssues = 10;

const escapedLetter = /\\u00[5-7]/;
const longExponent = /[eE]\+?\d{3}/;
// Without an exponent of three digits, a number needs so many digits in a row to overflow: 10^200 × 10^99 is still finite.
const longRun = 200;

// A text that holds one of these may have been a typed array, NaN, a Map …, none of which JSON.stringify writes as it should.
const lossy = /null|\{\}|\{"0":|\{"type":"Buffer"/;

/**
 * JSON, the default of every service. Reads `application/json` and anything `+json`.
 *
 * Refused in a request: keys that change prototypes, numbers that overflow, values nested too deeply. In an answer, typed arrays
 * become lists, and what JSON would drop without a word (NaN, Infinity, a Map) is an error that names the field.
 *
 * @typeParam I - what `call` gets
 * @typeParam O - what `call` gives
 */
export class JsonHandler<I = unknown, O = unknown> implements RequestHandler<I>, ResponseHandler<O> {
  readonly mediaTypes: readonly string[] = ["application/json", "application/*+json"];
  readonly #maxDepth: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });

  /** @throws ServableError `invalid_config` */
  constructor(options: JsonHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "JsonHandler");
    this.#maxDepth = options.maxDepth ?? 1000;
  }

  /**
   * Reads one JSON value.
   *
   * @throws ServableError `invalid_request` that says where the text is not JSON, or which fields are refused
   */
  deserialize({ body }: Payload): I {
    const text = this.#decode(body);
    if (exceedsDepth(text, this.#maxDepth)) {
      throw invalid(`The body nests lists and objects more than ${this.#maxDepth} deep; send a flatter value.`);
    }
    let value: I;
    try {
      // The wire can't tell whether it is an I: the input schema does.
      value = JSON.parse(text) as I;
    } catch (error) {
      throw describeParseError(text, error);
    }
    if (isSuspicious(text)) refuseDangers(value);
    return value;
  }

  /**
   * Writes one value as JSON; `undefined` is written as `null`.
   *
   * @throws ServableError `serialization_failed` that names the field which JSON can't hold
   */
  serialize(value: O): string {
    if (value === undefined) return "null";
    try {
      if (isFlat(value)) return JSON.stringify(value);
      if (!holdsTypedArray(value)) {
        const text = stringify(value);
        if (text !== undefined && !lossy.test(text)) return text;
      }
    } catch {
      // The careful way below finds out which field it is.
    }
    return serializeCarefully(value);
  }

  #decode(body: Uint8Array): string {
    let text: string;
    try {
      text = this.#decoder.decode(body);
    } catch (error) {
      throw invalid("The body is not valid UTF-8; JSON is sent as UTF-8.", undefined, error);
    }
    if (text === "") throw invalid("The body is empty; send a JSON value.");
    return text;
  }
}

/**
 * Whether a value is an object of texts, truth values and finite numbers, or lists of these, none of which JSON writes wrongly: most answers are, and
 * theirs is one look at each value instead of one at the whole text.
 */
function isFlat(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const key in value) {
    const field: unknown = value[key as keyof typeof value];
    if (!isPlain(field) && !isPlainList(field)) return false;
  }
  // Written by its own rule, whatever its fields.
  return !("toJSON" in value);
}

function isPlain(value: unknown): boolean {
  return typeof value === "number" ? Number.isFinite(value) : typeof value === "string" || typeof value === "boolean";
}

function isPlainList(value: unknown): boolean {
  if (!Array.isArray(value) || "toJSON" in value) return false;
  for (const item of value) if (!isPlain(item)) return false;
  return true;
}

/** Its declared type hides that functions and symbols give undefined. */
const stringify = JSON.stringify as (value: unknown) => string | undefined;

function invalid(message: string, issues?: readonly FieldIssue[], cause?: unknown): ServableError {
  return new ServableError("invalid_request", message, { issues, cause });
}

function describeParseError(text: string, cause: unknown): ServableError {
  if (text.trim() === "") return invalid("The body is empty; send a JSON value.");
  const found = findJsonSyntaxError(text);
  // Only where JSON.parse refuses for another reason than syntax: out of stack or memory.
  if (found === undefined) return invalid("The body is too large or too deeply nested to be read as JSON.", undefined, cause);
  return invalid(`The body is not valid JSON: line ${found.line}, column ${found.column}: ${found.reason}.`);
}

/** Whether lists and objects stand more than `limit` deep. Texts with few brackets, such as long lists of numbers, cost next to nothing. */
function exceedsDepth(text: string, limit: number): boolean {
  if (text.length <= limit || !hasMoreThan(text, limit)) return false;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x22) {
      for (index++; index < text.length; index++) {
        const inside = text.charCodeAt(index);
        if (inside === 0x5c) index++;
        else if (inside === 0x22) break;
      }
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > limit) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}

/** Whether a text has more opening brackets than `limit`. */
function hasMoreThan(text: string, limit: number): boolean {
  let count = 0;
  for (const bracket of ["[", "{"]) {
    for (let index = text.indexOf(bracket); index !== -1; index = text.indexOf(bracket, index + 1)) {
      if (++count > limit) return true;
    }
  }
  return false;
}

/**
 * Whether a text holds what can stand there only where something must be looked at twice: names that can change a prototype (written plainly or with
 * escapes), and numbers that may be too large. A search for a fixed text costs next to nothing; lists of numbers, which are long, have no "e".
 */
function isSuspicious(text: string): boolean {
  if (text.includes("proto") || (text.includes("\\u00") && escapedLetter.test(text))) return true;
  if ((text.includes("e") || text.includes("E")) && longExponent.test(text)) return true;
  return hasLongRun(text);
}

/** Whether {@link longRun} digits stand in a row: such a run can't miss every place that is a multiple of its length. */
function hasLongRun(text: string): boolean {
  for (let place = longRun - 1; place < text.length; place += longRun) {
    let start = place;
    let end = place;
    while (isDigit(text.charCodeAt(start))) start--;
    if (start === place) continue;
    while (isDigit(text.charCodeAt(end))) end++;
    if (end - start > longRun) return true;
  }
  return false;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function refuseDangers(value: unknown): void {
  if (typeof value === "object" && value !== null) {
    try {
      secureJsonParse.scan(value, { protoAction: "error", constructorAction: "error" });
    } catch (error) {
      const message = "The body has a key that changes an object's prototype (__proto__, or constructor.prototype); leave it out.";
      throw invalid(message, undefined, error);
    }
  }
  const issues = findOverflows(value);
  const first = issues[0];
  if (first === undefined) return;
  const more = issues.length === 1 ? "" : ` (and ${issues.length === maxIssues ? "more" : `${issues.length - 1} more`})`;
  throw invalid(`The number at ${shorten(formatPath(first.path))}${more} is out of range: the largest is about 1.8e308.`, issues);
}

/** A path can be as long as its keys, which the client chooses. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** Finds numbers that overflowed when they were parsed. It keeps its own stack, as the value may be as deep as the caller allows. */
function findOverflows(root: unknown): readonly FieldIssue[] {
  interface Place {
    readonly value: unknown;
    readonly key: string | number;
    readonly parent: Place | undefined;
  }
  const issues: FieldIssue[] = [];
  const pending: Place[] = [{ value: root, key: "", parent: undefined }];
  for (let place = pending.pop(); place !== undefined && issues.length < maxIssues; place = pending.pop()) {
    const { value } = place;
    if (value === Infinity || value === -Infinity) {
      const path: (string | number)[] = [];
      for (let at = place; at.parent !== undefined; at = at.parent) path.push(at.key);
      issues.push({ path: path.reverse(), message: "The number is out of range: the largest is about 1.8e308." });
    } else if (Array.isArray(value)) {
      for (let index = value.length - 1; index >= 0; index--) {
        const item: unknown = value[index];
        // Most items are ordinary numbers, for which no place is made.
        if (typeof item === "object" || item === Infinity || item === -Infinity) pending.push({ value: item, key: index, parent: place });
      }
    } else if (typeof value === "object" && value !== null) {
      for (const [key, item] of Object.entries(value).reverse()) pending.push({ value: item, key, parent: place });
    }
  }
  return issues;
}

function serializeCarefully(value: unknown): string {
  let text: string | undefined;
  try {
    text = stringify(toPlain(value, { format: "JSON" }));
  } catch (error) {
    if (ServableError.isInstance(error)) throw error;
    if (error instanceof RangeError) {
      throw new ServableError("serialization_failed", "The answer is too deeply nested, or too large, to be written as JSON.", {
        cause: error,
      });
    }
    throw new ServableError("serialization_failed", "The answer could not be written as JSON: something in it threw.", { cause: error });
  }
  if (text === undefined) throw new ServableError("serialization_failed", `A ${typeof value} can't be written as JSON; give a value.`);
  return text;
}
