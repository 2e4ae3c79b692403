import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { modelConfigType } from "../../src/triton/config-table.ts";
import { isMessageKind, message, one, type FieldType, type Kind, type MessageFields, type MessageType } from "../../src/triton/fields.ts";
import { anyConfig } from "./config-arbitrary.ts";

function kindText(kind: Kind): string {
  if (isMessageKind(kind)) return kind.name;
  if (typeof kind === "string") return kind === "length" ? "int64" : kind;
  return `enum(${Object.entries(kind.values)
    .map(([name, value]) => `${name}=${value}`)
    .join(",")})`;
}

function fieldText({ label, kind, mapKey, number, oneof }: FieldType): string {
  const type =
    { singular: "", repeated: "repeated ", map: "" }[label] + (label === "map" ? `map<${mapKey}, ${kindText(kind)}>` : kindText(kind));
  return `${number} ${type}${oneof === undefined ? "" : ` oneof ${oneof}`}`;
}

function linesOf(type: MessageType, seen = new Set<string>()): string[] {
  if (seen.has(type.name)) return [];
  seen.add(type.name);
  return [
    `message ${type.name}`,
    ...type.fields.flatMap((field) => [
      `${type.name}.${field.protoName} = ${fieldText(field)}`,
      ...(isMessageKind(field.kind) ? linesOf(field.kind, seen) : []),
    ]),
  ];
}

test("the table is model_config.proto, as the compiled module of tritonclient 2.73 describes it", () => {
  const described = readFileSync(new URL("model_config.descriptor.txt", import.meta.url), "utf8")
    .trim()
    .split("\n");
  expect(linesOf(modelConfigType).sort()).toEqual(described.sort());
});

test("a line that the type does not have, that it lacks, or that is of another kind does not compile", () => {
  interface Small {
    readonly name?: string | undefined;
    readonly dims?: readonly number[] | undefined;
  }
  const name = one(1, "string");
  // @ts-expect-error dims is missing
  const lacking: MessageFields<Small> = { name };
  // @ts-expect-error dims is a list
  const singular: MessageFields<Small> = { name, dims: one(2, "int32") };
  // @ts-expect-error a name is text
  message<{ readonly name?: string }>("M", { name: one(1, "bool") });
  // @ts-expect-error there is no such member
  message<{ readonly name?: string }>("M", { name, other: name });
  expect([lacking, singular]).toHaveLength(2);
});

test("generated configurations reach every field", () => {
  const reached = new Set<string>();
  const walk = (type: MessageType, value: object) => {
    for (const field of type.fields) {
      if (!Object.hasOwn(value, field.key)) continue;
      reached.add(`${type.name}.${field.protoName}`);
      if (!isMessageKind(field.kind)) continue;
      const held: unknown = Reflect.get(value, field.key);
      const inner: unknown[] = field.label === "singular" ? [held] : Object.values(held as object);
      for (const item of inner) walk(field.kind, item as object);
    }
  };
  for (const config of fc.sample(anyConfig, 300)) walk(modelConfigType, config);
  const all = linesOf(modelConfigType).filter((line) => !line.startsWith("message "));
  expect(all.map((line) => line.split(" ")[0]).filter((name) => !reached.has(name ?? ""))).toEqual([]);
});

test("every field says what it means", () => {
  const textOf = (name: string) => readFileSync(new URL(`../../src/triton/${name}-config.ts`, import.meta.url), "utf8");
  const lines = [textOf("model"), textOf("optimization")].join("\n").split("\n");
  const fields = lines.flatMap((line, index) => (/^\s+readonly \w+\?:/.test(line) ? [index] : []));
  expect(fields.length).toBeGreaterThan(100);
  expect(fields.filter((index) => !(lines[index - 1] ?? "").endsWith("*/")).map((index) => lines[index])).toEqual([]);
});
