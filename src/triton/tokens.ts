import { ServableError } from "../errors.ts";
import { shorten } from "./scalars.ts";
import { readEscape } from "./text-escapes.ts";

/** A piece of text: where it starts and what it is. */
export interface Token {
  readonly kind: "name" | "integer" | "float" | "string" | "symbol" | "end";
  /** As it is written. */
  readonly text: string;
  readonly offset: number;
  /** Of a string, what it stands for. */
  readonly bytes: Uint8Array | undefined;
}

// One place each: what can't start a token is told from what ends the text.
const space = /[ \t\r\n\v\f]+|#[^\n]*/y;
const name = /[A-Za-z_][A-Za-z0-9_]*/y;
const float = /(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?|\d+[eE][+-]?\d+[fF]?|\d+[fF]/y;
const integer = /0[xX][0-9a-fA-F]+|\d+/y;
const symbols = "{}<>[]:;,-";

/**
 * Cuts protobuf text into tokens, as protobuf's own reader does. A string stays on its line, as the specification has it, so that a
 * quote that was forgotten is reported where it is missing.
 */
export class Tokenizer {
  readonly #text: string;
  #offset = 0;
  #next: Token | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next token, which stays. */
  peek(): Token {
    return (this.#next ??= this.#read());
  }

  /** Takes the next token. */
  take(): Token {
    const token = this.peek();
    if (token.kind !== "end") this.#next = undefined;
    return token;
  }

  /** Takes the next token if it is this symbol. */
  takeSymbol(symbol: string): boolean {
    const token = this.peek();
    if (token.kind !== "symbol" || token.text !== symbol) return false;
    this.take();
    return true;
  }

  /** An error at a token, or at an offset. */
  error(message: string, at: Token | number, path: readonly (string | number)[] = []): ServableError {
    const before = this.#text.slice(0, typeof at === "number" ? at : at.offset);
    const line = before.split("\n").length;
    const column = before.length - (before.lastIndexOf("\n") + 1) + 1;
    const issues = path.length === 0 ? [] : [{ path, message }];
    return new ServableError("invalid_config", `line ${line}, column ${column}: ${message}`, { issues, details: { line, column } });
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#offset += found.length;
    return found;
  }

  #read(): Token {
    while (this.#match(space) !== undefined);
    const offset = this.#offset;
    const first = this.#text.charAt(offset);
    if (first === "") return { kind: "end", text: "the end of the text", offset, bytes: undefined };
    if (first === '"' || first === "'") return this.#readString(first);
    if (symbols.includes(first)) {
      this.#offset++;
      return { kind: "symbol", text: first, offset, bytes: undefined };
    }
    for (const [kind, pattern] of [
      ["name", name],
      ["integer", integer],
      ["float", float],
    ] as const) {
      const text = this.#match(pattern);
      if (text === undefined) continue;
      // 1.5 begins like a whole number does.
      if (kind === "integer" && !/^0[xX]/.test(text)) {
        this.#offset = offset;
        const longer = this.#match(float);
        if (longer !== undefined) return { kind: "float", text: longer, offset, bytes: undefined };
        this.#offset = offset + text.length;
      }
      return { kind, text, offset, bytes: undefined };
    }
    const point = this.#text.codePointAt(offset) ?? 0;
    const character = String.fromCodePoint(point);
    const shown = /[\p{C}\p{Z}]/u.test(character) ? `U+${point.toString(16).toUpperCase().padStart(4, "0")}` : `'${character}'`;
    throw this.error(`${shown} has no place here; text beyond ASCII stands only in strings and comments.`, offset);
  }

  #readString(quote: string): Token {
    const offset = this.#offset++;
    const pieces: Uint8Array[] = [];
    let start = this.#offset;
    const flush = () => {
      if (this.#offset > start) pieces.push(Buffer.from(this.#text.slice(start, this.#offset), "utf8"));
    };
    for (;;) {
      const character = this.#text.charAt(this.#offset);
      if (character === "" || character === "\n" || character === "\0") {
        throw this.error(
          character === "\0" ? "A string holds a NUL; write it as \\000." : "This string has no closing quote on its line.",
          offset,
        );
      }
      if (character === quote || character === "\\") flush();
      if (character === quote) break;
      if (character === "\\") {
        const escape = readEscape(this.#text, this.#offset);
        if ("problem" in escape) throw this.error(escape.problem, this.#offset);
        pieces.push(escape.bytes);
        this.#offset = start = escape.end;
      } else {
        this.#offset++;
      }
    }
    this.#offset++;
    const text = shorten(this.#text.slice(offset, this.#offset));
    return { kind: "string", text, offset, bytes: Buffer.concat(pieces) };
  }
}
