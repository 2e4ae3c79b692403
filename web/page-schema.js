// @ts-check
/** What the page reads out of an OpenAPI document. Pure: no browser is needed, and the tests use none. */

/** @typedef {Record<string, any>} Schema */
/** @typedef {{ schema?: Schema, example?: unknown, "x-item-schema"?: Schema }} Media */
/** @typedef {Record<string, Media>} Content */
/**
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string} [description]
 * @property {{ content: Content }} [requestBody]
 * @property {Record<string, { content?: Content }>} responses
 */
/**
 * @typedef {object} OpenApi
 * @property {{ title: string, version: string }} info
 * @property {{ url: string }[]} [servers]
 * @property {Record<string, { get?: Operation, post?: Operation }>} paths
 * @property {{ schemas?: Record<string, Schema>, securitySchemes?: Record<string, unknown> }} [components]
 */
/** @typedef {{ name: string, path: string, operation: Operation, batch: boolean }} ServiceEntry */
/** @typedef {{ name: string, type: string, required: boolean, description: string }} FieldRow */
/** @typedef {"json" | "lines" | "text" | "file"} Mode */

/**
 * The services of a document, in its order.
 * @param {OpenApi} api
 * @returns {ServiceEntry[]}
 */
export function servicesOf(api) {
  return Object.entries(api.paths).flatMap(([path, { post }]) =>
    post !== undefined && /^\/[^/]+$/.test(path)
      ? [{ name: post.operationId, path, operation: post, batch: `${path}/batch` in api.paths }]
      : [],
  );
}

/**
 * Follows references within the document.
 * @param {OpenApi} api
 * @param {Schema | boolean | undefined} schema
 * @returns {Schema}
 */
export function resolve(api, schema) {
  let found = typeof schema === "object" ? schema : {};
  for (let hops = 0; typeof found["$ref"] === "string" && hops < 16; hops += 1) {
    const { $ref: reference, ...siblings } = found;
    const keys = reference.startsWith("#/") ? reference.slice(2).split("/") : [];
    /** @type {any} */
    let target = keys.length === 0 ? {} : api;
    for (const key of keys) target = target?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")];
    found = { ...(typeof target === "object" && target !== null ? target : {}), ...siblings };
  }
  if (!Array.isArray(found["allOf"])) return found;
  const parts = found["allOf"].map((/** @type {Schema} */ part) => resolve(api, part));
  return {
    ...Object.assign({}, ...parts),
    ...found,
    allOf: undefined,
    properties: Object.assign({}, ...parts.map((part) => part["properties"]), found["properties"]),
    required: [...parts.flatMap((part) => part["required"] ?? []), ...(found["required"] ?? [])],
  };
}

/**
 * The forms that a value may take, without `null`.
 * @param {OpenApi} api
 * @param {Schema} schema already resolved
 * @returns {Schema[]}
 */
function formsOf(api, schema) {
  /** @type {Schema[] | undefined} */
  const forms = schema["anyOf"] ?? schema["oneOf"];
  return forms === undefined ? [schema] : forms.filter((form) => resolve(api, form)["type"] !== "null");
}

/**
 * A schema's type in a few words, as TypeScript people read them.
 * @param {OpenApi} api
 * @param {Schema | boolean | undefined} schema
 * @param {number} [depth]
 * @returns {string}
 */
export function typeText(api, schema, depth = 0) {
  const found = resolve(api, schema);
  if ("const" in found) return JSON.stringify(found["const"]);
  if (Array.isArray(found["enum"])) {
    const shown = found["enum"].slice(0, 8).map((value) => JSON.stringify(value));
    return [...shown, ...(found["enum"].length > 8 ? ["…"] : [])].join(" | ");
  }
  const forms = found["anyOf"] ?? found["oneOf"];
  if (Array.isArray(forms)) {
    return depth > 3 ? "one of several" : [...new Set(forms.map((form) => typeText(api, form, depth + 1)))].join(" | ");
  }
  if (Array.isArray(found["type"])) return found["type"].join(" | ");
  if (found["type"] === "array") {
    if (depth > 3) return "list";
    if (Array.isArray(found["prefixItems"])) return `[${found["prefixItems"].map((item) => typeText(api, item, depth + 1)).join(", ")}]`;
    return typeof found["items"] === "object" ? `list of ${typeText(api, found["items"], depth + 1)}` : "list";
  }
  if (found["type"] === "object" || found["properties"] !== undefined) {
    const values = found["additionalProperties"];
    const isMap = typeof values === "object" && Object.keys(values).length > 0 && found["properties"] === undefined;
    return isMap && depth < 4 ? `object of ${typeText(api, values, depth + 1)}` : "object";
  }
  if (typeof found["contentMediaType"] === "string") return `file (${found["contentMediaType"]})`;
  if (found["format"] === "binary") return "file";
  return typeof found["type"] === "string" ? found["type"] : "anything";
}

/**
 * What else a schema demands, in words.
 * @param {Schema} schema already resolved
 * @returns {string[]}
 */
function demands(schema) {
  const isBound = (/** @type {unknown} */ value) => typeof value === "number" && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  /** @type {[string, (value: any) => string][]} */
  const rules = [
    ["minimum", (value) => `≥ ${value}`],
    ["exclusiveMinimum", (value) => `> ${value}`],
    ["maximum", (value) => `≤ ${value}`],
    ["exclusiveMaximum", (value) => `< ${value}`],
    ["multipleOf", (value) => `a multiple of ${value}`],
  ];
  const words = rules.flatMap(([key, say]) => (isBound(schema[key]) ? [say(schema[key])] : []));
  words.push(...counts("character", schema["minLength"], schema["maxLength"]));
  // A list of named places says its length by its type.
  if (schema["prefixItems"] === undefined) words.push(...counts("item", schema["minItems"], schema["maxItems"]));
  if (typeof schema["format"] === "string" && schema["format"] !== "binary") words.push(`format ${schema["format"]}`);
  else if (typeof schema["pattern"] === "string" && schema["pattern"].length <= 60) words.push(`matches ${schema["pattern"]}`);
  if (schema["default"] !== undefined) words.push(`default ${JSON.stringify(schema["default"])}`);
  return words;
}

/**
 * How many there may be, in words.
 * @param {string} thing
 * @param {number | undefined} least
 * @param {number | undefined} most
 */
function counts(thing, least, most) {
  const many = (/** @type {number} */ count) => `${count} ${thing}${count === 1 ? "" : "s"}`;
  if (least !== undefined && least === most) return [`exactly ${many(least)}`];
  return [...(least ? [`at least ${many(least)}`] : []), ...(most !== undefined ? [`at most ${many(most)}`] : [])];
}

/**
 * A schema as the rows of a table: one for each field, at any depth, named by its path.
 * @param {OpenApi} api
 * @param {Schema | boolean | undefined} schema
 * @returns {FieldRow[]}
 */
export function fieldsOf(api, schema) {
  /** @type {FieldRow[]} */
  const rows = [];
  /** @type {Map<string, string>} */
  const open = new Map();

  /** @type {(name: string, part: Schema | boolean | undefined, required: boolean, hint: string) => void} */
  const add = (name, part, required, hint) => {
    const found = resolve(api, part);
    const reference = typeof part === "object" ? part["$ref"] : undefined;
    const seenAt = typeof reference === "string" ? open.get(reference) : undefined;
    const again = seenAt === undefined ? "" : `like ${seenAt === "" ? "the whole" : seenAt}, nested`;
    const itemsReference = resolve(api, found["items"]) === found ? undefined : found["items"]?.["$ref"];
    const itemsAgain = typeof itemsReference === "string" ? open.get(itemsReference) : undefined;
    const nested = itemsAgain === undefined ? again : `each like ${itemsAgain === "" ? "the whole" : itemsAgain}, nested`;
    const description = [hint, found["description"], ...demands(found), nested].filter(Boolean).join(" · ");
    rows.push({ name, type: typeText(api, part), required, description });
    if (nested === "") children(name, part);
  };

  /** @type {(name: string, part: Schema | boolean | undefined) => void} */
  const children = (name, part) => {
    if (rows.length > 200) return;
    const reference = typeof part === "object" ? part["$ref"] : undefined;
    if (typeof reference === "string") {
      if (open.has(reference)) return;
      open.set(reference, name);
    }
    const whole = resolve(api, part);
    const forms = formsOf(api, whole);
    forms.forEach((form, index) => {
      const found = resolve(api, form);
      const hint = forms.length > 1 && found["properties"] !== undefined ? `form ${index + 1}` : "";
      const required = new Set(found["required"] ?? []);
      for (const [key, field] of Object.entries(found["properties"] ?? {})) {
        add(name === "" ? key : `${name}.${key}`, field, required.has(key), hint);
      }
      const items = found["items"];
      if (typeof items === "object" && items !== null) children(`${name}[]`, items);
      else if (form !== whole && (found["anyOf"] ?? found["oneOf"]) !== undefined) children(name, form);
    });
    if (typeof reference === "string") open.delete(reference);
  };

  const root = resolve(api, schema);
  const isPlainObject = root["properties"] !== undefined && Object.keys(root["properties"]).length > 0;
  if (isPlainObject) children("", schema);
  else add("", schema, true, "");
  return rows;
}

/**
 * A value that fits a schema, to begin with.
 * @param {OpenApi} api
 * @param {Schema | boolean | undefined} schema
 * @param {readonly string[]} [open] references that are being filled in already
 * @returns {unknown}
 */
export function sampleOf(api, schema, open = []) {
  const reference = typeof schema === "object" ? schema["$ref"] : undefined;
  if (typeof reference === "string" && open.includes(reference)) return undefined;
  const within = typeof reference === "string" ? [...open, reference] : open;
  const found = resolve(api, schema);
  for (const value of [found["example"], found["examples"]?.[0], found["default"], found["const"], found["enum"]?.[0]]) {
    if (value !== undefined) return value;
  }
  const forms = found["anyOf"] ?? found["oneOf"];
  if (Array.isArray(forms)) {
    for (const form of forms) {
      const value = sampleOf(api, form, within);
      if (value !== undefined && value !== null) return value;
    }
    return null;
  }
  const type = Array.isArray(found["type"]) ? found["type"][0] : found["type"];
  if (type === "object" || found["properties"] !== undefined) {
    const fields = Object.entries(found["properties"] ?? {}).map(([key, field]) => [key, sampleOf(api, field, within)]);
    return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
  }
  if (type === "array") {
    if (Array.isArray(found["prefixItems"])) return found["prefixItems"].map((item) => sampleOf(api, item, within) ?? null);
    const item = sampleOf(api, found["items"], within);
    const length = Math.min(found["minItems"] ?? 1, 16);
    return item === undefined ? [] : Array.from({ length: Math.max(length, 1) }, () => item);
  }
  if (type === "number" || type === "integer") {
    const { minimum, exclusiveMinimum, maximum } = found;
    if (typeof exclusiveMinimum === "number") return exclusiveMinimum + 1;
    if (typeof minimum === "number" && minimum > -Number.MAX_SAFE_INTEGER) return minimum;
    return typeof maximum === "number" && maximum < 1 ? maximum : 1;
  }
  if (type === "boolean") return false;
  if (type === "null") return null;
  if (type === "string") {
    /** @type {Record<string, string>} */
    const formats = {
      "date-time": "2026-01-31T12:00:00Z",
      date: "2026-01-31",
      time: "12:00:00Z",
      email: "ada@example.com",
      uri: "https://example.com",
      uuid: "7b6d1f2e-0f5c-4c4e-9a56-0d7a3a1f3c5e",
    };
    return formats[found["format"]] ?? "text".padEnd(Math.min(found["minLength"] ?? 0, 100), "t").slice(0, found["maxLength"] ?? 100);
  }
  return {};
}

/** @param {string} type */
export const isJsonType = (type) => /^application\/([^;]+\+)?json\b/.test(type);

/**
 * The ways in which this page can send a request, each with its media types.
 * @param {Content} content
 * @returns {{ mode: Mode, types: string[] }[]}
 */
export function modesOf(content) {
  /** @type {Map<Mode, string[]>} */
  const modes = new Map();
  const types = Object.keys(content);
  const isReadable = (/** @type {string} */ type) => isJsonType(type) || type.startsWith("text/") || type === "application/x-ndjson";
  for (const type of types) {
    // MessagePack says what JSON says, and nobody has a file of it at hand.
    if (/msgpack/.test(type) && types.some(isReadable)) continue;
    const mode = isJsonType(type) ? "json" : type === "application/x-ndjson" ? "lines" : type.startsWith("text/") ? "text" : "file";
    modes.set(mode, [...(modes.get(mode) ?? []), type]);
  }
  return [...modes].map(([mode, list]) => ({ mode, types: list }));
}

/**
 * What to ask for: one value as JSON where there is one, and server-sent events where there is a stream. (A server that is asked for
 * events before JSON frames single values, too.)
 * @param {Content} content
 */
export function acceptOf(content) {
  const types = Object.keys(content);
  const wanted = [
    ...types.filter(isJsonType),
    ...types.filter((type) => type === "text/event-stream"),
    ...types.filter(
      (type) => !isJsonType(type) && type !== "text/event-stream" && type !== "application/x-ndjson" && !/msgpack/.test(type),
    ),
  ];
  if (wanted.length === 0) return "*/*";
  return wanted.map((type, index) => (index === 0 ? type : `${type};q=${Math.max(0.9 - (index - 1) / 10, 0.1).toFixed(1)}`)).join(", ");
}

/**
 * The name of the form field that carries the file, and the others.
 * @param {OpenApi} api
 * @param {Media | undefined} media
 * @returns {{ file: string, fields: FieldRow[] }}
 */
export function formFieldsOf(api, media) {
  const schema = resolve(api, media?.schema);
  const isFile = (/** @type {Schema} */ field) => {
    const found = resolve(api, field);
    const one = resolve(api, found["items"]);
    return [found, one].some((part) => part["contentMediaType"] !== undefined || part["format"] === "binary");
  };
  const properties = Object.entries(schema["properties"] ?? {});
  const file = properties.find(([, field]) => isFile(field))?.[0] ?? "file";
  const rows = fieldsOf(api, schema).filter(({ name }) =>
    properties.some(([key, field]) => key === name && key !== file && !isFile(field)),
  );
  return { file, fields: rows };
}
