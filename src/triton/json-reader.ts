import { ServableError } from "../errors.ts";

/** A JSON value whose whole numbers keep all their digits, and whose members keep their order and their doubles. */
export type ExactJson = string | boolean | null | JsonNumber | readonly ExactJson[] | JsonMembers;

/** A number as it is written. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The members of an object, in order. */
export class JsonMembers {
  readonly entries: readonly (readonly [string, ExactJson])[];

  constructor(entries: readonly (readonly [string, ExactJson])[]) {
    this.entries = entries;
  }
}

/** Deeper than any configuration, and than this reader's own calls can go wrong. */
const maxDepth = 100;

const space = /[ \t\r\n]*/y;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const word = /true|false|null/y;

/**
 * Reads JSON without turning its numbers into doubles: a 64-bit number of a configuration has more digits than `JSON.parse` keeps.
 *
 * @throws ServableError `invalid_config` with line and column.
 */
export function readExactJson(text: string): ExactJson {
  const reader = new JsonReader(text);
  return reader.whole();
}

class JsonReader {
  readonly #text: string;
  #offset = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): ExactJson {
    const value = this.#value(0);
    if (this.#peek() !== "") throw this.#error("Nothing may follow the value.");
    return value;
  }

  #value(depth: number): ExactJson {
    if (depth > maxDepth) throw this.#error(`The value is nested more than ${maxDepth} deep.`);
    const first = this.#peek();
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#list(depth);
    if (first === '"') return this.#string();
    const found = this.#match(word);
    if (found !== undefined) return found === "null" ? null : found === "true";
    const digits = this.#match(number);
    if (digits === undefined) throw this.#error(first === "" ? "The text ends too early." : "A value was expected.");
    return new JsonNumber(digits);
  }

  #object(depth: number): JsonMembers {
    const entries: [string, ExactJson][] = [];
    this.#offset++;
    if (this.#take("}")) return new JsonMembers(entries);
    do {
      if (this.#peek() !== '"') throw this.#error("A name in double quotes was expected.");
      const key = this.#string();
      if (!this.#take(":")) throw this.#error("':' was expected.");
      entries.push([key, this.#value(depth + 1)]);
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#error("',' or '}' was expected.");
    return new JsonMembers(entries);
  }

  #list(depth: number): ExactJson[] {
    const items: ExactJson[] = [];
    this.#offset++;
    if (this.#take("]")) return items;
    do items.push(this.#value(depth + 1));
    while (this.#take(","));
    if (!this.#take("]")) throw this.#error("',' or ']' was expected.");
    return items;
  }

  #string(): string {
    const start = this.#offset++;
    for (; this.#text.charAt(this.#offset) !== '"'; this.#offset++) {
      if (this.#text.charAt(this.#offset) === "\\") this.#offset++;
      if (this.#offset >= this.#text.length) {
        this.#offset = start;
        throw this.#error("This string is not closed.");
      }
    }
    this.#offset++;
    try {
      return String(JSON.parse(this.#text.slice(start, this.#offset)));
    } catch {
      this.#offset = start;
      throw this.#error("This string holds an escape or a character that JSON does not have.");
    }
  }

  #peek(): string {
    this.#match(space);
    return this.#text.charAt(this.#offset);
  }

  #take(symbol: string): boolean {
    if (this.#peek() !== symbol) return false;
    this.#offset++;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#offset += found.length;
    return found;
  }

  #error(message: string): ServableError {
    const before = this.#text.slice(0, this.#offset);
    const line = before.split("\n").length;
    const column = before.length - before.lastIndexOf("\n");
    return new ServableError("invalid_config", `line ${line}, column ${column}: ${message}`, { details: { line, column } });
  }
}
