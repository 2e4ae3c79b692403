/** How writers look at a configuration: by the table, and trusting no value to be what its type says, since plain JavaScript calls them too. */
import { ServableError, formatPath } from "../errors.ts";
import { kindName, type FieldType, type Kind, type MessageType } from "./fields.ts";
import type { Int64 } from "./model-config.ts";
import { floatOf, integerOf, isBrokenText, isIntegerKind, shorten } from "./scalars.ts";

type Path = readonly (string | number)[];

/** The fields of a message that are set, in the order of the table. */
export function setFields(type: MessageType, message: unknown, path: Path): { readonly field: FieldType; readonly value: unknown }[] {
  if (typeof message !== "object" || message === null || Array.isArray(message)) throw refusal(path, `a ${type.name} was expected`);
  for (const key of Object.keys(message)) {
    if (!Object.hasOwn(type.spec, key)) throw refusal([...path, key], noSuchField(type, Object.keys(type.spec)));
  }
  const fields = type.fields
    .map((field) => ({ field, value: Object.hasOwn(message, field.key) ? (Reflect.get(message, field.key) as unknown) : undefined }))
    .filter(({ value }) => value !== undefined);
  const chosen = new Map<string, FieldType>();
  for (const { field } of fields) {
    if (field.oneof === undefined) continue;
    const other = chosen.get(field.oneof);
    if (other !== undefined) throw refusal([...path, field.protoName], `it and '${other.protoName}' exclude each other (${field.oneof})`);
    chosen.set(field.oneof, field);
  }
  return fields;
}

/** What is said of a field that there is not. @param known - those that there are, under the names that were to be used */
export function noSuchField(type: MessageType, known: readonly string[]): string {
  return `${type.name} has no such field; it has: ${known.join(", ") || "none"}`;
}

/** The items of a list. */
export function listItems(value: unknown, path: Path): readonly unknown[] {
  if (!Array.isArray(value)) throw refusal(path, "a list was expected");
  return value;
}

/** The entries of a map in the order of their keys: numbers by size, texts by their characters. */
export function mapEntries(field: FieldType, value: unknown, path: Path): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refusal(path, "a map was expected");
  const entries: [string, unknown][] = Object.entries(value).filter(([, item]) => item !== undefined);
  for (const [key] of entries) {
    const wrong = field.mapKey === "uint64" ? !/^(0|[1-9]\d{0,19})$/.test(key) || BigInt(key) > 2n ** 64n - 1n : isBrokenText(key);
    if (wrong) throw refusal(path, `'${shorten(key)}' is no ${field.mapKey}, which its keys are`);
  }
  if (field.mapKey === "uint64") return entries.sort(([a], [b]) => (BigInt(a) < BigInt(b) ? -1 : 1));
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A scalar or the name of an enum, which is what its kind says. */
export function checkedScalar(kind: Exclude<Kind, MessageType>, value: unknown, path: Path): string | boolean | Int64 {
  if (typeof kind === "object") {
    if (typeof value === "string" && Object.hasOwn(kind.values, value)) return value;
  } else if (kind === "string") {
    if (typeof value === "string" && !isBrokenText(value)) return value;
  } else if (kind === "bool") {
    if (typeof value === "boolean") return value;
  } else if (isIntegerKind(kind)) {
    const whole = typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(Number(value)) : undefined;
    const result = whole === undefined ? undefined : integerOf(kind, whole);
    if (result !== undefined && "value" in result) return result.value;
  } else if (typeof value === "number") {
    return floatOf(kind, value);
  }
  throw refusal(path, `${shown(value)} is not ${kindName(kind)}`);
}

function refusal(path: Path, message: string): ServableError {
  return new ServableError("invalid_config", `${formatPath(path)}: ${message}.`, { issues: [{ path, message }] });
}

function shown(value: unknown): string {
  if (typeof value === "string") return `'${shorten(value)}'`;
  return typeof value === "number" || typeof value === "bigint" || typeof value === "boolean" ? String(value) : "such a value";
}
