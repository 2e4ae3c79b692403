import { modelConfigType } from "./config-table.ts";
import { isMessageKind, type FieldType, type Kind, type MapKeyKind, type MessageType } from "./fields.ts";
import type { ModelConfig } from "./model-config.ts";
import { decimalOf } from "./scalars.ts";
import { checkedScalar, listItems, mapEntries, setFields } from "./values.ts";

type Path = readonly (string | number)[];

/**
 * Writes a config.pbtxt. The text is stable: fields stand in the order of `model_config.proto`, maps in the order of their keys; empty lists and
 * maps, which mean nothing, are left out.
 *
 * @throws ServableError `invalid_config` where a value is none that its field can hold.
 */
export function writeModelConfig(config: ModelConfig): string {
  return writeMessage(modelConfigType, config);
}

/** Writes the fields of a message, without brackets around them. */
export function writeMessage<T>(type: MessageType<T>, message: T): string {
  const lines: string[] = [];
  writeFields(type, message, "", [], lines);
  return lines.map((line) => `${line}\n`).join("");
}

function writeFields(type: MessageType, message: unknown, indent: string, parent: Path, lines: string[]): void {
  for (const { field, value } of setFields(type, message, parent)) {
    const path = [...parent, field.protoName];
    if (field.label === "singular") writeField(field.protoName, field.kind, value, indent, path, lines);
    else if (field.label === "map") writeMap(field, value, indent, path, lines);
    else writeList(field, value, indent, path, lines);
  }
}

function writeField(name: string, kind: Kind, value: unknown, indent: string, path: Path, lines: string[]): void {
  if (!isMessageKind(kind)) {
    lines.push(`${indent}${name}: ${scalarText(kind, value, path)}`);
    return;
  }
  lines.push(`${indent}${name} {`);
  writeFields(kind, value, `${indent}  `, path, lines);
  lines.push(`${indent}}`);
}

/** Numbers stand in brackets, as people write `dims: [ 3, 4 ]`. */
function writeList(field: FieldType, value: unknown, indent: string, path: Path, lines: string[]): void {
  const items = listItems(value, path);
  const { kind } = field;
  if (isMessageKind(kind) || kind === "string") {
    items.forEach((item, index) => writeField(field.protoName, kind, item, indent, [...path, index], lines));
  } else if (items.length > 0) {
    const texts = items.map((item, index) => scalarText(kind, item, [...path, index]));
    lines.push(`${indent}${field.protoName}: [ ${texts.join(", ")} ]`);
  }
}

function writeMap(field: FieldType, value: unknown, indent: string, path: Path, lines: string[]): void {
  const inner = `${indent}  `;
  for (const [key, item] of mapEntries(field, value, path)) {
    lines.push(`${indent}${field.protoName} {`, `${inner}key: ${keyText(field.mapKey, key)}`);
    writeField("value", field.kind, item, inner, [...path, key], lines);
    lines.push(`${indent}}`);
  }
}

function keyText(kind: MapKeyKind, key: string): string {
  return kind === "uint64" ? key : quote(key);
}

function scalarText(kind: Exclude<Kind, MessageType>, value: unknown, path: Path): string {
  const checked = checkedScalar(kind, value, path);
  if (typeof checked === "string") return kind === "string" ? quote(checked) : checked;
  if (typeof checked !== "number" || (kind !== "float" && kind !== "double")) return String(checked);
  if (Number.isNaN(checked)) return "nan";
  if (!Number.isFinite(checked)) return checked > 0 ? "inf" : "-inf";
  return Object.is(checked, -0) ? "-0.0" : decimalOf(kind, checked);
}

/** A string on one line, readable where it can be: letters beyond ASCII stand as they are, control characters as escapes. */
function quote(text: string): string {
  const escaped = text.replace(/["\\\n\r\t]/g, (character) => short[character] ?? character);
  // An octal escape has up to three digits: with three it ends where it should.
  return `"${escaped.replace(/\p{Cc}/gu, (character) =>
    [...Buffer.from(character, "utf8")].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join(""),
  )}"`;
}

const short: Readonly<Record<string, string>> = { '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
