import type { Int64 } from "./model-config.ts";

/** The scalars of protobuf that configurations use. A `length` is an int64 that a tensor can have, so it is a number in TypeScript. */
export type ScalarKind = "string" | "bool" | "int32" | "uint32" | "int64" | "uint64" | "length" | "float" | "double";

/** An enum: the number of each name. */
export interface EnumType<V extends string = string> {
  readonly values: Readonly<Record<V, number>>;
}

/** What stands in a field: a scalar, an enum, or a message. */
export type Kind = ScalarKind | EnumType | MessageType;

/** How often a field may stand. */
export type Label = "singular" | "repeated" | "map";

/** What the keys of a map are; in TypeScript they are always text. */
export type MapKeyKind = "string" | "uint64";

/** The kind that a TypeScript type asks for. */
type KindOf<V> = [V] extends [boolean]
  ? "bool"
  : [V] extends [string]
    ? string extends V
      ? "string"
      : EnumType<V>
    : [V] extends [number]
      ? "int32" | "uint32" | "length" | "float" | "double"
      : [V] extends [Int64]
        ? "int64" | "uint64"
        : MessageType<V>;

/** What the table says of a field. */
interface FieldSpec<L extends Label = Label, K = Kind> {
  readonly label: L;
  readonly number: number;
  readonly kind: K;
  readonly mapKey: MapKeyKind;
  readonly oneof: string | undefined;
}

/** The line of the table that a TypeScript type asks for. A record without values is an empty message. */
type SpecOf<V> = [V] extends [readonly (infer E)[]]
  ? FieldSpec<"repeated", KindOf<E>>
  : [V] extends [Readonly<Record<string, infer E>>]
    ? [E] extends [never]
      ? FieldSpec<"singular", MessageType<V>>
      : string extends keyof V
        ? FieldSpec<"map", KindOf<E>>
        : FieldSpec<"singular", KindOf<V>>
    : FieldSpec<"singular", KindOf<V>>;

/** The lines of the table for a message: one for each member of its type, and no other. */
export type MessageFields<T> = { readonly [K in keyof T]-?: SpecOf<Exclude<T[K], undefined>> };

/** A field, as readers and writers see it. */
export interface FieldType {
  /** In camelCase: the member of the TypeScript type, and protobuf's JSON name. */
  readonly key: string;
  /** As `model_config.proto` has it. */
  readonly protoName: string;
  readonly number: number;
  readonly label: Label;
  /** What stands in the field, in each item of it, or in each value of the map. */
  readonly kind: Kind;
  readonly mapKey: MapKeyKind;
  /** Of the fields of one such name, one may be set. */
  readonly oneof: string | undefined;
}

/** A message: its fields in the order in which they are written. */
export interface MessageType<T = unknown> {
  readonly name: string;
  /** Holds the message to its TypeScript type. */
  readonly spec: MessageFields<T>;
  readonly fields: readonly FieldType[];
  readonly byProtoName: ReadonlyMap<string, FieldType>;
}

/** A field that stands once. */
export function one<const K>(number: number, kind: K, oneof?: string): FieldSpec<"singular", K> {
  return { label: "singular", number, kind, mapKey: "string", oneof };
}

/** A field that is a list. */
export function many<const K>(number: number, kind: K): FieldSpec<"repeated", K> {
  return { label: "repeated", number, kind, mapKey: "string", oneof: undefined };
}

/** A field that is a map. */
export function mapOf<const K>(number: number, kind: K, mapKey: MapKeyKind = "string"): FieldSpec<"map", K> {
  return { label: "map", number, kind, mapKey, oneof: undefined };
}

/** A message of type T, whose lines are checked against T: one that is missing, surplus or of another kind does not compile. */
export function message<T>(name: string, spec: MessageFields<NoInfer<T>>): MessageType<T> {
  // Every member of MessageFields is a FieldSpec; TypeScript can't tell that of a mapped type over an unknown T.
  const lines = Object.entries(spec as Readonly<Record<string, FieldSpec>>);
  const fields = lines.map(([key, line]): FieldType => ({ ...line, key, protoName: toSnakeCase(key) }));
  return { name, spec, fields, byProtoName: new Map(fields.map((field) => [field.protoName, field])) };
}

/** Whether a field holds messages. */
export function isMessageKind(kind: Kind): kind is MessageType {
  return typeof kind === "object" && "fields" in kind;
}

/** What a kind is called in errors. */
export function kindName(kind: Kind): string {
  if (typeof kind === "object") return isMessageKind(kind) ? kind.name : `one of ${Object.keys(kind.values).join(", ")}`;
  return kind === "length" ? "int64" : kind;
}

function toSnakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
