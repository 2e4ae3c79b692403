import { ServableError, formatPath } from "../errors.ts";
import { modelConfigType } from "./config-table.ts";
import { isMessageKind, kindName, type FieldType, type Kind, type MessageType, type ScalarKind } from "./fields.ts";
import { JsonMembers, JsonNumber, readExactJson, type ExactJson } from "./json-reader.ts";
import type { ModelConfig } from "./model-config.ts";
import { bigintOf, floatOf, integerOf, isBrokenText, isIntegerKind, shorten } from "./scalars.ts";
import { noSuchField } from "./values.ts";

type Path = readonly (string | number)[];

/** How long it may be, in characters; as a config.pbtxt. */
const maxLength = 4 * 1024 * 1024;

/**
 * Reads a configuration as JSON, as the `config` parameter of a model's load takes it: by the rules of protobuf, under the names of the proto or
 * in camelCase, enums by name in any case or by number, 64-bit numbers as numbers or text. `null` is the same as nothing.
 *
 * @throws ServableError `invalid_config` that names the field, or line and column where it is no JSON.
 */
export function modelConfigFromJson(text: string): ModelConfig {
  if (text.length > maxLength) {
    throw new ServableError("invalid_config", `The configuration has ${text.length} characters; it may have ${maxLength}.`);
  }
  return readMessage(modelConfigType, readExactJson(text), []);
}

function readMessage<T>(type: MessageType<T>, json: ExactJson, path: Path): T {
  if (!(json instanceof JsonMembers)) throw refusal(path, `an object was expected (${type.name})`);
  const values = new Map<string, unknown>();
  const seen = new Set<string>();
  for (const [name, item] of json.entries) {
    const field = type.byProtoName.get(name) ?? type.fields.find(({ key }) => key === name);
    if (field === undefined) throw refusal([...path, name], noSuchField(type, [...type.byProtoName.keys()]));
    const inner = [...path, field.protoName];
    for (const mark of [field.key, ...(field.oneof === undefined || item === null ? [] : [`oneof ${field.oneof}`])]) {
      if (seen.has(mark)) throw refusal(inner, mark === field.key ? "it stands twice" : `another of ${field.oneof} is set already`);
      seen.add(mark);
    }
    const value = item === null ? undefined : readField(field, item, inner);
    if (value !== undefined) values.set(field.key, value);
  }
  // The table holds each field to T.
  return Object.fromEntries(values) as T;
}

/** A field's value; undefined for an empty list or map, which is the same as none. */
function readField(field: FieldType, json: ExactJson, path: Path): unknown {
  if (field.label === "singular") return readValue(field.kind, json, path);
  if (field.label === "repeated") {
    if (!isList(json)) throw refusal(path, "a list was expected");
    return json.length === 0 ? undefined : json.map((item, index) => readValue(field.kind, item, [...path, index]));
  }
  if (!(json instanceof JsonMembers)) throw refusal(path, "an object was expected");
  const entries = new Map<string, unknown>();
  for (const [name, item] of json.entries) {
    const key = field.mapKey === "string" ? name : String(readScalar("uint64", name, path));
    if (isBrokenText(key)) throw refusal(path, "a key is not valid Unicode");
    if (entries.has(key)) throw refusal([...path, key], "it stands twice");
    entries.set(key, readValue(field.kind, item, [...path, key]));
  }
  return entries.size === 0 ? undefined : Object.fromEntries(entries);
}

function readValue(kind: Kind, json: ExactJson, path: Path): unknown {
  if (isMessageKind(kind)) return readMessage(kind, json, path);
  if (typeof kind === "string") return readScalar(kind, json, path);
  const names = Object.keys(kind.values);
  const found =
    typeof json === "string"
      ? names.find((name) => name.toLowerCase() === json.toLowerCase())
      : Object.entries(kind.values).find(([, number]) => json instanceof JsonNumber && number === Number(json.text))?.[0];
  if (found === undefined) throw wrong(kind, json, path);
  return found;
}

function readScalar(kind: ScalarKind, json: ExactJson, path: Path): unknown {
  if (kind === "bool" && typeof json === "boolean") return json;
  if (kind === "string" && typeof json === "string" && !isBrokenText(json)) return json;
  const text = json instanceof JsonNumber ? json.text : json;
  if (kind === "bool" || kind === "string" || typeof text !== "string") throw wrong(kind, json, path);
  if (isIntegerKind(kind)) {
    const whole = wholeNumber(text);
    if (whole === undefined) throw wrong(kind, json, path);
    const result = integerOf(kind, whole);
    if ("problem" in result) throw refusal(path, `${result.problem} (${kindName(kind)})`);
    return result.value;
  }
  if (["NaN", "Infinity", "-Infinity"].includes(text) && typeof json === "string") return Number(text);
  if (!/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text)) throw wrong(kind, json, path);
  const value = floatOf(kind, Number(text));
  if (!Number.isFinite(value)) throw refusal(path, `${shorten(text)} is out of range (${kind})`);
  return value;
}

/** Also `1.0` and `1e3` are whole numbers. */
function wholeNumber(text: string): bigint | undefined {
  const digits = /^(-?)(\d+)$/.exec(text);
  if (digits !== null) {
    const value = bigintOf(digits[2] ?? "", 10);
    return value === undefined || digits[1] === "" ? value : -value;
  }
  if (!/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? BigInt(value) : undefined;
}

function isList(json: ExactJson): json is readonly ExactJson[] {
  return Array.isArray(json);
}

function wrong(kind: Kind, json: ExactJson, path: Path): ServableError {
  const shown =
    json instanceof JsonNumber ? shorten(json.text) : typeof json === "object" && json !== null ? "this" : shorten(JSON.stringify(json));
  return refusal(path, `${shown} is not ${kindName(kind)}`);
}

function refusal(path: Path, message: string): ServableError {
  return new ServableError("invalid_config", `${formatPath(path)}: ${message}.`, { issues: [{ path, message }] });
}
