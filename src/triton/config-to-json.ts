import { modelConfigType } from "./config-table.ts";
import { isMessageKind, type FieldType, type Kind, type MessageType } from "./fields.ts";
import type { ModelConfig } from "./model-config.ts";
import { decimalOf } from "./scalars.ts";
import { checkedScalar, listItems, mapEntries, setFields } from "./values.ts";

type Path = readonly (string | number)[];

/**
 * Writes a configuration as `GET /v2/models/M/config` gives it: under the names of the proto, with every scalar, list and map, set or not, while
 * messages and members of a oneof that are not set are absent; 64-bit numbers as numbers with all their digits.
 *
 * @throws ServableError `invalid_config` where a value is none that its field can hold.
 */
export function modelConfigToJson(config: ModelConfig): string {
  return messageText(modelConfigType, config, []);
}

function messageText(type: MessageType, message: unknown, parent: Path): string {
  const values = new Map(setFields(type, message, parent).map(({ field, value }) => [field, value]));
  const members = type.fields.flatMap((field) => {
    const text = fieldText(field, values.get(field), [...parent, field.protoName]);
    return text === undefined ? [] : [`${JSON.stringify(field.protoName)}:${text}`];
  });
  return `{${members.join(",")}}`;
}

function fieldText(field: FieldType, value: unknown, path: Path): string | undefined {
  const { kind, label } = field;
  if (label === "repeated") {
    const items = value === undefined ? [] : listItems(value, path);
    return `[${items.map((item, index) => valueText(kind, item, [...path, index])).join(",")}]`;
  }
  if (label === "map") {
    const entries = value === undefined ? [] : mapEntries(field, value, path);
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${valueText(kind, item, [...path, key])}`).join(",")}}`;
  }
  if (value !== undefined) return valueText(kind, value, path);
  return isMessageKind(kind) || field.oneof !== undefined ? undefined : valueText(kind, defaultOf(kind), path);
}

function valueText(kind: Kind, value: unknown, path: Path): string {
  if (isMessageKind(kind)) return messageText(kind, value, path);
  const checked = checkedScalar(kind, value, path);
  if (typeof checked !== "number" || (kind !== "float" && kind !== "double")) {
    return typeof checked === "string" ? JSON.stringify(checked) : String(checked);
  }
  // JSON has no numbers for these; protobuf writes their names.
  return Number.isFinite(checked) ? (Object.is(checked, -0) ? "-0" : decimalOf(kind, checked)) : `"${checked}"`;
}

function defaultOf(kind: Exclude<Kind, MessageType>): string | number | boolean {
  if (typeof kind === "object") return Object.entries(kind.values).find(([, number]) => number === 0)?.[0] ?? "";
  if (kind === "string") return "";
  return kind === "bool" ? false : 0;
}
