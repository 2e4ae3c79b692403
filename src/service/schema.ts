import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import { isThenable } from "./chain.ts";
import { ServableError, messageOf, type FieldIssue, type JsonValue } from "../errors.ts";

/** Any schema that speaks Standard Schema v1 (https://standardschema.dev): zod, valibot, arktype and others. */
export type Schema<I = unknown, O = I> = StandardSchemaV1<I, O>;

/** A JSON Schema (draft 2020-12) as plain data. */
export type JsonSchema = { readonly [key: string]: JsonValue };

const streamMarker: unique symbol = Symbol.for("servable.stream");

/** Marks an input as a stream: `call` gets an async iterable, each item of it checked by `item`. */
export interface StreamSchema<S extends Schema = Schema> {
  readonly [streamMarker]: true;
  /** The schema of one item. */
  readonly item: S;
}

/**
 * Declares that a service takes a stream of items: newline-delimited JSON over HTTP, an async iterable in `call`.
 *
 * @param item - the schema of one item
 * @example
 * ```ts
 * import { defineService, streamOf } from "servable";
 * import { z } from "zod";
 *
 * export const total = defineService({
 *   name: "total",
 *   input: streamOf(z.object({ x: z.number() })),
 *   output: z.object({ sum: z.number() }),
 *   async call(items) {
 *     let sum = 0;
 *     for await (const { x } of items) sum += x;
 *     return { sum };
 *   },
 * });
 * ```
 */
export function streamOf<S extends Schema>(item: S): StreamSchema<S> {
  return { [streamMarker]: true, item };
}

/** Whether an input is declared with {@link streamOf}. */
export function isStreamSchema(schema: unknown): schema is StreamSchema {
  return typeof schema === "object" && schema !== null && streamMarker in schema;
}

/** Whether a value speaks Standard Schema v1. Some libraries' schemas are functions. */
export function isSchema(value: unknown): value is Schema {
  return ((typeof value === "object" && value !== null) || typeof value === "function") && "~standard" in value;
}

/** What was probably meant by what is no schema; begins with a space, empty where nobody can tell. */
export function schemaHint(value: unknown, role: SchemaRole): string {
  if (typeof value !== "object" || value === null) return "";
  const fields = Object.values(value);
  if (fields.length > 0 && fields.every(isSchema)) return " This is an object of schemas: make one of it, such as z.object({ … }).";
  const isJsonSchema = "$schema" in value || "properties" in value || ("type" in value && typeof value.type === "string");
  return isJsonSchema ? ` This is a JSON Schema, which nothing is checked by: give it as jsonSchema.${role}.` : "";
}

/** Which side of a service a schema checks. */
export type SchemaRole = "input" | "output";

/**
 * Checks a value and gives back what the schema makes of it (defaults filled, transforms applied).
 *
 * @throws ServableError `invalid_request` (input) or `invalid_output` (output), with the path of each failing field
 */
export function validate<O>(schema: Schema<unknown, O>, value: unknown, role: SchemaRole): O | Promise<O> {
  const result = schema["~standard"].validate(value);
  if (isThenable(result)) return Promise.resolve(result).then((settled) => unwrap(settled, value, role));
  return unwrap(result, value, role);
}

function unwrap<O>(result: StandardSchemaV1.Result<O>, value: unknown, role: SchemaRole): O {
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(toFieldIssue);
  if (role === "input") throw new ServableError("invalid_request", "The input does not fit the service's schema.", { issues });
  const gave = value === undefined ? "nothing (is there a `return`?), which" : "a value that";
  throw new ServableError("invalid_output", `The service gave ${gave} does not fit its own output schema.`, { issues });
}

function toFieldIssue(issue: StandardSchemaV1.Issue): FieldIssue {
  // Not its own map: some libraries' paths are a class that extends Array, and so would be what that gives.
  const path = Array.from(issue.path ?? [], (segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    return typeof key === "number" ? key : String(key);
  });
  return { path, message: messageOf(issue.message) };
}

/**
 * The JSON Schema of one side of a service: what its schema tells of itself (`~standard.jsonSchema`), else the one given by
 * hand, else undefined, of which the engine warns.
 */
export function jsonSchemaOf(schema: Schema | undefined, role: SchemaRole, byHand: JsonSchema | undefined): JsonSchema | undefined {
  const converter = (schema as Partial<StandardJSONSchemaV1> | undefined)?.["~standard"]?.jsonSchema;
  if (converter === undefined) return byHand;
  try {
    const { $schema: _draft, ...rest } = converter[role]({ target: "draft-2020-12" });
    return rest as JsonSchema;
  } catch {
    // A schema may hold what JSON Schema can't say: a transform, a class.
    return byHand;
  }
}
