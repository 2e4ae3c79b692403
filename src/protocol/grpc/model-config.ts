import type { JsonValue } from "../../errors.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import type { inference } from "./generated/messages.js";
import { writeInt64 } from "./int64.ts";
import type { Messages } from "./packages.ts";

/** A configuration as a message. */
export function writeModelConfig(config: ModelConfig, messages: Messages): inference.ModelConfig {
  return messages.inference.ModelConfig.fromObject(membersWithWireInt64(config));
}

/** A copy with 64-bit integers as messages have them; undefined members are left out. */
function membersWithWireInt64(value: object): Readonly<Record<string, unknown>> {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [name, withWireInt64(member)]));
}

function withWireInt64(value: unknown): unknown {
  if (typeof value === "bigint") return writeInt64(value, value > 0n);
  if (Array.isArray(value)) return value.map(withWireInt64);
  return typeof value === "object" && value !== null ? membersWithWireInt64(value) : value;
}

/**
 * A configuration of a message as the JSON that a server gives over HTTP: with the names of `model_config.proto`, every field that is no
 * message with its value or its default, and 64-bit integers as numbers.
 */
export function modelConfigJson(message: inference.ModelConfig.$Properties, messages: Messages): Readonly<Record<string, JsonValue>> {
  const { ModelConfig: type } = messages.inference;
  const plain: unknown = type.toObject(type.fromObject(message), {
    enums: String,
    longs: Number,
    defaults: true,
    arrays: true,
    objects: true,
  });
  const json = renamed(plain, false);
  return isRecord(json) ? json : {};
}

/** Fields whose members are named by who wrote the configuration. A list of the same name is none of them. */
const maps: ReadonlySet<string> = new Set([
  "ccModelFilenames",
  "metricTags",
  "parameters",
  "inputMap",
  "outputMap",
  "inputs",
  "input",
  "priorityQueuePolicy",
]);

function renamed(value: unknown, isMap: boolean): JsonValue {
  if (Array.isArray(value)) return value.map((item: unknown) => renamed(item, false));
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null) return null;
  // Messages that are not set are left out.
  const entries = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(
    entries.map(([name, member]) => [isMap ? name : snakeCase(name), renamed(member, !isMap && maps.has(name) && !Array.isArray(member))]),
  );
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isRecord(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
