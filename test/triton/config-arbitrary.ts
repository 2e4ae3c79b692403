import fc from "fast-check";
import { modelConfigType } from "../../src/triton/config-table.ts";
import { isMessageKind, type FieldType, type Kind, type MessageType } from "../../src/triton/fields.ts";
import type { ModelConfig } from "../../src/triton/model-config.ts";

const int64 = (min: bigint, max: bigint) =>
  fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n, 1n)).map((value) => {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  });

const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 8 }) },
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.constantFrom("", "__proto__", "constructor", "\0", "\u0085\u2028", "a\"b'c\\", "日本\n", "\u{1F600}7", "\x7f1"),
);

const scalars = {
  string: text,
  bool: fc.boolean(),
  int32: fc.integer(),
  uint32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  length: fc.oneof(fc.integer({ min: -1, max: 512 }), fc.maxSafeInteger()),
  int64: int64(-(2n ** 63n), 2n ** 63n - 1n),
  uint64: int64(0n, 2n ** 64n - 1n),
  float: fc.float(),
  double: fc.double(),
} as const;

function valueOf(kind: Kind): fc.Arbitrary<unknown> {
  if (isMessageKind(kind)) return messageOf(kind);
  return typeof kind === "string" ? scalars[kind] : fc.constantFrom(...Object.keys(kind.values));
}

function fieldValue({ label, kind, mapKey }: FieldType): fc.Arbitrary<unknown> {
  if (label === "singular") return valueOf(kind);
  if (label === "repeated") return fc.array(valueOf(kind), { minLength: 1, maxLength: 3 });
  const key = mapKey === "string" ? text : fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
  return fc
    .uniqueArray(fc.tuple(key, valueOf(kind)), { minLength: 1, maxLength: 3, selector: ([name]) => name })
    .map((entries): unknown => Object.fromEntries(entries));
}

/** Any message of a type: every field may be there or not, and of the members of a oneof at most one is. */
function messageOf(type: MessageType): fc.Arbitrary<unknown> {
  const groups = new Map<string, FieldType[]>();
  for (const field of type.fields) groups.set(field.oneof ?? field.key, [...(groups.get(field.oneof ?? field.key) ?? []), field]);
  const parts = [...groups.values()].map((fields) =>
    fc.option(fc.oneof(...fields.map((field) => fieldValue(field).map((value) => [field.key, value] as const))), {
      freq: 2,
      nil: undefined,
    }),
  );
  return fc.tuple(...parts).map((entries): unknown => Object.fromEntries(entries.filter((entry) => entry !== undefined)));
}

/** Configurations made from the table: any field, any value that it can hold. */
export const anyConfig: fc.Arbitrary<ModelConfig> = messageOf(modelConfigType).map((config) => config as ModelConfig);
