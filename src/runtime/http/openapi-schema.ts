import type { JsonValue } from "../../errors.ts";
import type { JsonSchema } from "../../service/schema.ts";

/** Keywords whose value is a map from names of the author's own to schemas: a key in there is never a keyword. */
const schemaMaps: ReadonlySet<string> = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);

/** Keywords whose value is data. A `$ref` in there is a value like any other. */
const dataKeywords: ReadonlySet<string> = new Set(["const", "enum", "default", "examples", "example", "required"]);

/** The reference to a component of an OpenAPI document. */
export function componentReference(name: string): string {
  return `#/components/schemas/${name}`;
}

/**
 * Makes a JSON Schema fit to stand among the components of an OpenAPI document. Its own references (`#`, `#/$defs/Node`) mean "from
 * the root of this schema", and would mean the root of the document there. So each of its `$defs` becomes a component of its own,
 * `{name}.{definition}`, as few tools look for definitions any deeper, and every reference is made to follow.
 *
 * A part with an `$id` is a resource of its own (JSON Schema 2020-12, 8.2.1): what is inside refers to itself, and is left alone.
 *
 * @param name - the component that the schema becomes, such as `double.input`
 * @returns the components, by name
 */
export function schemaComponents(name: string, schema: JsonSchema): Record<string, JsonSchema> {
  if (typeof schema.$id === "string") return { [name]: schema };
  const { $defs: definitions, ...root } = schema;
  if (definitions === undefined || !isObject(definitions))
    return { [name]: rebase(schema, (pointer) => componentReference(name) + pointer) };

  const names = new Map<string, string>();
  for (const key of Object.keys(definitions)) {
    let component = `${name}.${key.replace(/[^\w.-]/g, "_")}`;
    while ([...names.values()].includes(component)) component += "_";
    names.set(key, component);
  }
  const follow = (pointer: string): string => {
    const [, first, key, ...rest] = pointer.split("/");
    const component = first === "$defs" && key !== undefined ? names.get(unescapePointer(key)) : undefined;
    return component === undefined ? componentReference(name) + pointer : [componentReference(component), ...rest].join("/");
  };
  const parts = [...names].map(([key, component]) => [component, rebaseValue(definitions[key] ?? {}, follow)]);
  return { [name]: rebase(root, follow), ...(Object.fromEntries(parts) as Record<string, JsonSchema>) };
}

/** A key of a JSON Pointer in a URI fragment (RFC 6901, 4 and 6). */
function unescapePointer(key: string): string {
  return decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~");
}

type Follow = (pointer: string) => string;

function rebase(schema: JsonSchema, follow: Follow): JsonSchema {
  if (typeof schema.$id === "string") return schema;
  return Object.fromEntries(Object.entries(schema).map(([keyword, value]) => [keyword, rebaseKeyword(keyword, value, follow)]));
}

function rebaseKeyword(keyword: string, value: JsonValue, follow: Follow): JsonValue {
  if ((keyword === "$ref" || keyword === "$dynamicRef") && typeof value === "string") {
    return value === "#" || value.startsWith("#/") ? follow(value.slice(1)) : value;
  }
  if (dataKeywords.has(keyword)) return value;
  if (schemaMaps.has(keyword) && isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, rebaseValue(part, follow)]));
  }
  return rebaseValue(value, follow);
}

function rebaseValue(value: JsonValue, follow: Follow): JsonValue {
  if (isObject(value)) return rebase(value, follow);
  return Array.isArray(value) ? value.map((part: JsonValue) => rebaseValue(part, follow)) : value;
}

function isObject(value: JsonValue): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
