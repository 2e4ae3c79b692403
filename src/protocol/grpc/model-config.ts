import type { ModelConfig } from "../../triton/model-config.ts";
import type { inference } from "./generated/messages.js";
import { readInt64, writeInt64 } from "./int64.ts";
import type { Messages } from "./packages.ts";

/** A configuration as a message. */
export function writeModelConfig(config: ModelConfig, messages: Messages): inference.ModelConfig {
  return messages.inference.ModelConfig.fromObject(withWireInt64({ ...config }));
}

/** A configuration of a message: fields that hold what proto3 takes for granted are left out. */
export function readModelConfig(message: inference.ModelConfig.$Properties, messages: Messages): ModelConfig {
  const plain = messages.inference.ModelConfig.toObject(messages.inference.ModelConfig.fromObject(message), { enums: String });
  // What the message's type says, field by field, is what ModelConfig says: the generated code leaves nothing else in.
  return withNumbers(plain) as ModelConfig;
}

interface Plain {
  readonly [name: string]: unknown;
}

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null;
}

function withWireInt64(value: Plain): Plain {
  return mapLeaves(value, (leaf) => (typeof leaf === "bigint" ? writeInt64(leaf, leaf > 0n) : undefined)) as Plain;
}

function withNumbers(value: Plain): unknown {
  return mapLeaves(value, (leaf) => {
    if (!isPlain(leaf) || typeof leaf.low !== "number" || typeof leaf.high !== "number" || typeof leaf.unsigned !== "boolean")
      return undefined;
    return readInt64({ low: leaf.low, high: leaf.high, unsigned: leaf.unsigned });
  });
}

/** A copy in which the leaves that `change` knows are others; undefined members are left out. */
function mapLeaves(value: unknown, change: (leaf: unknown) => unknown): unknown {
  const changed = change(value);
  if (changed !== undefined) return changed;
  if (Array.isArray(value)) return value.map((item) => mapLeaves(item, change));
  if (!isPlain(value)) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [name, mapLeaves(member, change)]));
}
