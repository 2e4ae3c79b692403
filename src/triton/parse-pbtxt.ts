import { ServableError } from "../errors.ts";
import { modelConfigType } from "./config-table.ts";
import { isMessageKind, kindName, type FieldType, type Kind, type MessageType, type ScalarKind } from "./fields.ts";
import type { ModelConfig } from "./model-config.ts";
import { bigintOf, floatOf, integerOf, isBrokenText, isIntegerKind, shorten } from "./scalars.ts";
import { Tokenizer, type Token } from "./tokens.ts";

/** How long a config.pbtxt may be, in characters; those that people write have some thousands. */
const maxLength = 4 * 1024 * 1024;

type Path = readonly (string | number)[];

/**
 * Reads a config.pbtxt, in the whole of protobuf's text format. Nothing is filled in: a field that the text does not name is not set.
 *
 * @throws ServableError `invalid_config` that says the line and column and what is wrong there.
 */
export function parseModelConfig(text: string): ModelConfig {
  if (text.length > maxLength) {
    throw new ServableError("invalid_config", `The configuration has ${text.length} characters; it may have ${maxLength}.`);
  }
  if (isBrokenText(text)) throw new ServableError("invalid_config", "The configuration is not valid Unicode; save it as UTF-8.");
  // A byte order mark is no part of the text.
  return new TextReader(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text).read(modelConfigType);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Follows the table; since no message holds itself, text can't nest deeper than the table does. */
class TextReader {
  readonly #tokens: Tokenizer;

  constructor(text: string) {
    this.#tokens = new Tokenizer(text);
  }

  read<T>(type: MessageType<T>): T {
    const value = this.#fields(type, undefined, []);
    // The table holds each field to T.
    return value as T;
  }

  /** Fields up to the closing bracket, or to the end of the text. */
  #fields(type: MessageType, close: string | undefined, path: Path): unknown {
    const found: Found = { values: new Map(), lists: new Map(), maps: new Map() };
    for (;;) {
      const token = this.#tokens.take();
      if (close !== undefined && token.kind === "symbol" && token.text === close) break;
      if (token.kind === "end") {
        if (close === undefined) break;
        throw this.#tokens.error(`${type.name} is not closed: '${close}' is missing.`, token, path);
      }
      if (token.kind !== "name") throw this.#tokens.error(`A field of ${type.name} was expected, not ${shown(token)}.`, token, path);
      const field = type.byProtoName.get(token.text);
      if (field === undefined) {
        const known = type.fields.map(({ protoName }) => protoName).join(", ");
        throw this.#tokens.error(`${type.name} has no field '${shorten(token.text)}'. It has: ${known || "none"}.`, token, path);
      }
      this.#field(type, field, found, token, path);
      if (!this.#tokens.takeSymbol(",")) this.#tokens.takeSymbol(";");
    }
    return valueOf(found);
  }

  #field(type: MessageType, field: FieldType, found: Found, token: Token, parent: Path): void {
    const { key, label, kind, protoName } = field;
    const path = [...parent, protoName];
    const { values } = found;
    if (label === "singular") {
      if (values.has(key)) throw this.#tokens.error(`'${protoName}' stands twice; it may stand once.`, token, path);
      const other = field.oneof === undefined ? undefined : type.fields.find((one) => one.oneof === field.oneof && values.has(one.key));
      if (other !== undefined) {
        throw this.#tokens.error(`'${protoName}' and '${other.protoName}' exclude each other (${field.oneof}).`, token, path);
      }
    }
    const colon = this.#tokens.takeSymbol(":");
    if (!colon && label !== "map" && !isMessageKind(kind)) {
      throw this.#tokens.error(`':' was expected after '${protoName}', not ${shown(this.#tokens.peek())}.`, this.#tokens.peek(), path);
    }
    if (label === "singular") {
      values.set(key, this.#value(kind, path));
    } else if (label === "repeated") {
      const items = found.lists.get(key) ?? [];
      found.lists.set(key, items);
      this.#items((index) => items.push(this.#value(kind, [...path, index])), items.length);
    } else {
      const entries = found.maps.get(key) ?? new Map<string, unknown>();
      found.maps.set(key, entries);
      this.#items(() => {
        const [name, value] = this.#entry(field, path);
        // Protobuf's maps keep the last one.
        entries.set(name, value);
      }, 0);
    }
  }

  /** One value, or a list of them in brackets. */
  #items(read: (index: number) => void, start: number): void {
    if (!this.#tokens.takeSymbol("[")) {
      read(start);
      return;
    }
    if (this.#tokens.takeSymbol("]")) return;
    for (let index = start; ; index++) {
      read(index);
      if (this.#tokens.takeSymbol("]")) return;
      const token = this.#tokens.peek();
      if (!this.#tokens.takeSymbol(",")) throw this.#tokens.error(`',' or ']' was expected in a list, not ${shown(token)}.`, token);
    }
  }

  /** One `{ key: ... value: ... }` of a map. */
  #entry(field: FieldType, path: Path): [string, unknown] {
    const close = this.#open(`an entry of '${field.protoName}'`, path);
    const absent = isMessageKind(field.kind) ? {} : "";
    let key: string | undefined;
    let value: unknown;
    for (;;) {
      if (this.#tokens.takeSymbol(close)) {
        return [key ?? (field.mapKey === "uint64" ? "0" : ""), value ?? absent];
      }
      const token = this.#tokens.take();
      if (token.kind !== "name" || (token.text !== "key" && token.text !== "value")) {
        throw this.#tokens.error(`An entry of '${field.protoName}' has 'key' and 'value', not ${shown(token)}.`, token, path);
      }
      if ((token.text === "key" ? key : value) !== undefined) {
        throw this.#tokens.error(`'${token.text}' stands twice in an entry of '${field.protoName}'.`, token, path);
      }
      const colon = this.#tokens.takeSymbol(":");
      if (!colon && (token.text === "key" || !isMessageKind(field.kind))) {
        throw this.#tokens.error(`':' was expected after '${token.text}', not ${shown(this.#tokens.peek())}.`, this.#tokens.peek(), path);
      }
      if (token.text === "key") key = String(this.#scalar(field.mapKey, path));
      else value = this.#value(field.kind, [...path, key ?? ""]);
      if (!this.#tokens.takeSymbol(",")) this.#tokens.takeSymbol(";");
    }
  }

  #value(kind: Kind, path: Path): unknown {
    if (isMessageKind(kind)) return this.#fields(kind, this.#open(kind.name, path), path);
    if (typeof kind === "string") return this.#scalar(kind, path);
    const negative = this.#tokens.peek().text === "-" && this.#tokens.takeSymbol("-");
    const token = this.#tokens.take();
    if (token.kind === "name" && !negative) {
      if (Object.hasOwn(kind.values, token.text)) return token.text;
    } else if (token.kind === "integer") {
      const number = Number(this.#integer(token, path)) * (negative ? -1 : 1);
      const found = Object.entries(kind.values).find(([, value]) => value === number);
      if (found !== undefined) return found[0];
    }
    const hint = token.kind === "string" ? " Its names stand without quotes." : "";
    throw this.#tokens.error(`${shown(token)} is not ${kindName(kind)}.${hint}`, token, path);
  }

  /** Takes the bracket that opens a message, and says which one closes it. */
  #open(what: string, path: Path): "}" | ">" {
    if (this.#tokens.takeSymbol("{")) return "}";
    if (this.#tokens.takeSymbol("<")) return ">";
    const token = this.#tokens.peek();
    throw this.#tokens.error(`'{' was expected at the start of ${what}, not ${shown(token)}.`, token, path);
  }

  #scalar(kind: ScalarKind, path: Path): unknown {
    if (kind === "string") return this.#string(path);
    const first = this.#tokens.peek();
    const negative = first.kind === "symbol" && kind !== "bool" && this.#tokens.takeSymbol("-");
    const token = this.#tokens.take();
    const wrong = () => this.#tokens.error(`${negative ? "-" : ""}${shown(token)} is no ${kindName(kind)}.`, first, path);
    if (kind === "bool") {
      if (/^(true|True|t)$/.test(token.text) && token.kind === "name") return true;
      if (/^(false|False|f)$/.test(token.text) && token.kind === "name") return false;
      const number = token.kind === "integer" ? this.#integer(token, path) : undefined;
      if (number === 0n || number === 1n) return number === 1n;
      throw wrong();
    }
    if (isIntegerKind(kind)) {
      if (token.kind !== "integer") throw wrong();
      const digits = this.#integer(token, path);
      const result = integerOf(kind, negative ? -digits : digits);
      if ("problem" in result) throw this.#tokens.error(`${result.problem} (${kindName(kind)}).`, first, path);
      return result.value;
    }
    const value = floatIn(token);
    if (value === undefined) throw wrong();
    return floatOf(kind, negative ? -value : value);
  }

  #integer(token: Token, path: Path): bigint {
    const { text } = token;
    const base = /^0[xX]/.test(text) ? 16 : text.startsWith("0") ? 8 : 10;
    if (base === 8 && /[89]/.test(text)) {
      throw this.#tokens.error(`${shorten(text)} starts with 0, so it is octal, and octal has no 8 and 9.`, token, path);
    }
    const value = bigintOf(base === 16 ? text.slice(2) : text, base);
    if (value === undefined) throw this.#tokens.error(`${shorten(text)} is out of range.`, token, path);
    return value;
  }

  /** Strings that stand side by side are one. */
  #string(path: Path): string {
    const first = this.#tokens.peek();
    const pieces: Uint8Array[] = [];
    for (let next = first; next.kind === "string"; next = this.#tokens.peek()) pieces.push(this.#tokens.take().bytes ?? new Uint8Array());
    if (pieces.length === 0) throw this.#tokens.error(`A string in quotes was expected, not ${shown(first)}.`, first, path);
    try {
      return decoder.decode(Buffer.concat(pieces));
    } catch {
      throw this.#tokens.error("The bytes of this string are not UTF-8, which strings of a configuration must be.", first, path);
    }
  }
}

function floatIn(token: Token): number | undefined {
  if (token.kind === "float") return Number(token.text.replace(/[fF]$/, ""));
  if (token.kind === "integer") return /^0[xX]|^0\d/.test(token.text) ? undefined : Number(token.text);
  if (token.kind !== "name") return undefined;
  if (/^inf(inity)?f?$/i.test(token.text)) return Infinity;
  return /^nanf?$/i.test(token.text) ? NaN : undefined;
}

function shown(token: Token): string {
  if (token.kind === "end" || token.kind === "string") return token.text;
  return `'${shorten(token.text)}'`;
}

/** What of a message was read so far, by key. */
interface Found {
  readonly values: Map<string, unknown>;
  readonly lists: Map<string, unknown[]>;
  readonly maps: Map<string, Map<string, unknown>>;
}

/** An empty list or map is the same as none. `fromEntries`, since a key may be `__proto__`. */
function valueOf({ values, lists, maps }: Found): unknown {
  return Object.fromEntries([
    ...values,
    ...[...lists].filter(([, items]) => items.length > 0),
    ...[...maps].filter(([, entries]) => entries.size > 0).map(([key, entries]) => [key, Object.fromEntries(entries)] as const),
  ]);
}
