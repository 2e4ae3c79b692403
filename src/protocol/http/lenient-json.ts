import { InferenceError } from "../inference-error.ts";

/** What a JSON text may hold here; 64-bit integers beyond 2^53 are bigints where it was read exactly. */
export type WireValue = string | number | bigint | boolean | null | WireValue[] | WireObject;

/** Members by name. It may have been made by `JSON.parse`, so it has a prototype: look a member up with `memberOf`. */
export interface WireObject {
  readonly [key: string]: WireValue;
}

/** How deep a text may nest; that of tensors' data is checked again, against its own limit. */
const maxDepth = 500;
const largestInteger = 2n ** 64n - 1n;
const smallestInteger = -(2n ** 63n);
const whitespace = /[ \t\n\r]*/y;
const integerOrMore = /-?(?:0|[1-9]\d*)(\.\d*)?([eE][+-]?\d*)?/y;
const nonFinite = /(-?)(?:(NaN)|Inf(?:inity)?)/y;
// The parser that Triton uses lets control characters pass.
const plainText = /[^"\\]*/y;
const hexDigits = /[\da-fA-F]{4}/y;
const simpleEscapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Reads JSON as the parser does that Triton uses: with NaN and Infinity, with 64-bit integers to the last digit, and with its texts for
 * what is wrong. Many times slower than `JSON.parse`, so it runs where that one fails or loses digits.
 *
 * @throws InferenceError `INTERNAL` with the reason and the place
 */
export function parseLenientJson(text: string): WireValue {
  const parser = new LenientParser(text);
  return parser.readDocument();
}

class LenientParser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readDocument(): WireValue {
    this.#skip(whitespace);
    if (this.#position === this.#text.length) throw this.#failure("The document is empty.");
    const value = this.#readValue(0);
    this.#skip(whitespace);
    if (this.#position < this.#text.length) throw this.#failure("The document root must not be followed by other values.");
    return value;
  }

  #readValue(depth: number): WireValue {
    if (depth > maxDepth) throw tooDeep(maxDepth);
    const text = this.#text;
    switch (text[this.#position]) {
      case "{":
        return this.#readObject(depth);
      case "[":
        return this.#readArray(depth);
      case '"':
        return this.#readString();
      case "t":
        return this.#readWord("true", true);
      case "f":
        return this.#readWord("false", false);
      case "n":
        return this.#readWord("null", null);
      default:
        return this.#readNumber();
    }
  }

  #readObject(depth: number): WireObject {
    const members: Record<string, WireValue> = Object.create(null) as Record<string, WireValue>;
    this.#position++;
    this.#skip(whitespace);
    if (this.#take("}")) return members;
    for (;;) {
      if (this.#text[this.#position] !== '"') throw this.#failure("Missing a name for object member.");
      const name = this.#readString();
      this.#skip(whitespace);
      if (!this.#take(":")) throw this.#failure("Missing a colon after a name of object member.");
      this.#skip(whitespace);
      members[name] = this.#readValue(depth + 1);
      this.#skip(whitespace);
      if (this.#take("}")) return members;
      if (!this.#take(",")) throw this.#failure("Missing a comma or } after an object member.");
      this.#skip(whitespace);
    }
  }

  #readArray(depth: number): WireValue[] {
    const elements: WireValue[] = [];
    this.#position++;
    this.#skip(whitespace);
    if (this.#take("]")) return elements;
    for (;;) {
      elements.push(this.#readValue(depth + 1));
      this.#skip(whitespace);
      if (this.#take("]")) return elements;
      if (!this.#take(",")) throw this.#failure("Missing a comma or ] after an array element.");
      this.#skip(whitespace);
    }
  }

  #readString(): string {
    let value = "";
    this.#position++;
    for (;;) {
      const start = this.#position;
      this.#skip(plainText);
      value += this.#text.slice(start, this.#position);
      if (this.#take('"')) return value;
      if (this.#position >= this.#text.length) throw this.#failure("Missing a closing quotation mark in string.");
      value += this.#readEscape();
    }
  }

  #readEscape(): string {
    const start = this.#position++;
    const letter = this.#text[this.#position++] ?? "";
    const simple = Object.hasOwn(simpleEscapes, letter) ? simpleEscapes[letter] : undefined;
    if (simple !== undefined) return simple;
    if (letter !== "u") throw this.#failure("Invalid escape character in string.", start);
    const first = this.#readHex(start);
    if (first < 0xd800 || first > 0xdfff) return String.fromCharCode(first);
    const paired = first < 0xdc00 && this.#take("\\") && this.#take("u");
    const second = paired ? this.#readHex(start) : 0;
    if (second < 0xdc00 || second > 0xdfff) throw this.#failure("The surrogate pair in string is invalid.", start);
    return String.fromCharCode(first, second);
  }

  #readHex(start: number): number {
    const from = this.#position;
    if (!this.#skip(hexDigits)) throw this.#failure("Incorrect hex digit after \\u escape in string.", start);
    return Number.parseInt(this.#text.slice(from, this.#position), 16);
  }

  #readWord<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) throw this.#failure("Invalid value.");
    this.#position += word.length;
    return value;
  }

  #readNumber(): number | bigint {
    const start = this.#position;
    nonFinite.lastIndex = start;
    const special = nonFinite.exec(this.#text);
    if (special !== null) {
      this.#position = nonFinite.lastIndex;
      if (special[2] !== undefined) return NaN;
      return special[1] === "-" ? -Infinity : Infinity;
    }
    integerOrMore.lastIndex = start;
    const match = integerOrMore.exec(this.#text);
    if (match === null) throw this.#failure("Invalid value.");
    const [digits, fraction, exponent] = match;
    this.#position = integerOrMore.lastIndex;
    if (fraction === ".") throw this.#failure("Miss fraction part in number.", start);
    if (exponent !== undefined && !/\d$/.test(exponent)) throw this.#failure("Miss exponent in number.", start);
    const value = Number(digits);
    if (!Number.isFinite(value)) throw this.#failure("Number too big to be stored in double.", start);
    if (fraction !== undefined || exponent !== undefined || Number.isSafeInteger(value)) return value;
    // Longer ones are no integers of any data type, and turning them into bigints takes time that grows with their square.
    if (digits.length > 20) return value;
    const whole = BigInt(digits);
    return whole > largestInteger || whole < smallestInteger ? value : whole;
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#position;
    if (!pattern.test(this.#text)) return false;
    this.#position = pattern.lastIndex;
    return true;
  }

  #take(character: string): boolean {
    if (this.#text[this.#position] !== character) return false;
    this.#position++;
    return true;
  }

  #failure(reason: string, position: number = this.#position): InferenceError {
    const offset = new TextEncoder().encode(this.#text.slice(0, position)).length;
    return new InferenceError("INTERNAL", `failed to parse the request JSON buffer: ${reason} at ${offset}`);
  }
}

/** The failure of what nests deeper than it may. */
export function tooDeep(limit: number): InferenceError {
  return new InferenceError("INVALID_ARG", `JSON nesting depth exceeds the maximum allowed limit of ${limit}`);
}
