import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { errorCodes, ServableError } from "../../src/errors.ts";
import { problemOf } from "../../src/runtime/http/problem.ts";
import { openApiDocument, type OpenApiDocument, type OpenApiOperation } from "../../src/runtime/http/openapi.ts";
import { schemaComponents } from "../../src/runtime/http/openapi-schema.ts";
import { defineService } from "../../src/service/define-service.ts";
import type { RequestHandler, ResponseHandler } from "../../src/service/handlers/handler.ts";
import { streamOf } from "../../src/service/schema.ts";

const double = defineService({
  name: "double",
  description: "Doubles a number.",
  input: z.object({ x: z.number().describe("What to double.") }),
  output: z.object({ y: z.number() }),
  example: { x: 21 },
  call: ({ x }) => ({ y: 2 * x }),
});

const Tree = z.object({
  name: z.string(),
  get children() {
    return z.array(Tree);
  },
});
const Category = z.object({
  title: z.string(),
  get parent() {
    return Category.optional();
  },
});

/** Its root refers to itself: zod writes `{ "$ref": "#" }`. */
const recursiveRoot = defineService({ name: "prune", input: Tree, output: Tree, call: (tree) => tree });
/** Parts of it refer to themselves: zod writes `$defs` and `{ "$ref": "#/$defs/__schema0" }`. */
const recursiveParts = defineService({ name: "graft", input: z.object({ tree: Tree, category: Category }), call: ({ tree }) => tree.name });
const named = defineService({ name: "named", input: Tree.meta({ id: "Tree" }), call: (tree) => tree.name });

const formSchema = {
  type: "object",
  properties: { image: { type: "string", contentMediaType: "application/octet-stream" } },
  required: ["image"],
};
const pictureReader: RequestHandler<Uint8Array> = {
  mediaTypes: ["multipart/form-data", "image/*"],
  bodySchemas: { "multipart/form-data": formSchema },
  deserialize: ({ body }) => body,
};
const csvReader: RequestHandler<Uint8Array> = {
  mediaTypes: ["text/csv", "application/msgpack", "image/*"],
  bodySchema: { type: "string", description: "Numbers." },
  deserialize: ({ body }) => body,
};
const pictureWriter: ResponseHandler<Uint8Array> = { mediaTypes: ["image/png"], serialize: (value) => value };
const picture = defineService({
  name: "picture",
  request: [pictureReader, csvReader],
  response: pictureWriter,
  call: (bytes: Uint8Array) => bytes,
});

const total = defineService({
  name: "total",
  input: streamOf(z.object({ x: z.number() })),
  output: z.object({ sum: z.number() }),
  example: [{ x: 1 }, { x: 2 }],
  async call(items) {
    let sum = 0;
    for await (const { x } of items) sum += x;
    return { sum };
  },
});
const count = defineService({
  name: "count",
  input: z.object({ to: z.int() }),
  output: z.int(),
  async *call({ to }) {
    for (let index = 0; index < to; index += 1) yield index;
  },
});
const noSchemas = defineService({ name: "anything", call: (value) => value });

const all = [double, recursiveRoot, recursiveParts, named, picture, total, count, noSchemas];

function callOf(document: OpenApiDocument, path: string): OpenApiOperation {
  const operation = document.paths[path]?.post;
  if (operation === undefined) throw new Error(`${path} is not in the document`);
  return operation;
}

function contentOf(document: OpenApiDocument, path: string): Record<string, { schema: unknown; [key: string]: unknown }> {
  const response = callOf(document, path).responses["200"];
  if (response === undefined || "$ref" in response) throw new Error(`${path} has no 200 of its own`);
  return { ...response.content } as Record<string, { schema: unknown }>;
}

/** Every reference of a document, wherever it stands. */
function references(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, part]) => (key === "$ref" && typeof part === "string" ? [part] : references(part)));
}

function resolvePointer(document: unknown, reference: string): unknown {
  const keys = reference.slice(2).split("/");
  return keys.reduce<unknown>((value, key) => {
    const name = decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  }, document);
}

async function problemsOf(document: object): Promise<unknown> {
  const result = await new Validator().validate(JSON.parse(JSON.stringify(document)) as Record<string, unknown>);
  return result.valid ? [] : result.errors;
}

describe("the document fits the official OpenAPI 3.1 meta-schema", () => {
  test.each([
    { title: "with every kind of service, open", options: { services: all, authenticated: false } },
    {
      title: "with tokens, a title, a version and a prefix",
      options: { services: all, authenticated: true, title: "Models", version: "1.2.3", basePath: "/models/" },
    },
    { title: "with no service", options: { services: [], authenticated: false } },
  ])("$title", async ({ options }) => {
    const document = openApiDocument(options);
    expect(await problemsOf(document)).toEqual([]);
  });

  test("the validator can fail", async () => {
    const document = openApiDocument({ services: [double], authenticated: false });
    expect(await problemsOf({ ...document, paths: { double: {} } })).not.toEqual([]);
    expect(await problemsOf({ ...document, info: {} })).not.toEqual([]);
  });

  test("every reference leads somewhere", () => {
    const document = openApiDocument({ services: all, authenticated: true });
    const found = references(document);
    expect(found.length).toBeGreaterThan(20);
    expect(found.filter((reference) => !reference.startsWith("#/"))).toEqual([]);
    expect(found.filter((reference) => resolvePointer(document, reference) === undefined)).toEqual([]);
  });
});

describe("recursive schemas", () => {
  const document = openApiDocument({ services: all, authenticated: false });

  test("a root that refers to itself still does", () => {
    expect(document.components.schemas["prune.input"]).toMatchObject({
      properties: { children: { items: { $ref: "#/components/schemas/prune.input" } } },
    });
  });

  test("$defs become components, and references find them", () => {
    const schema = document.components.schemas["graft.input"];
    expect(schema).not.toHaveProperty("$defs");
    const found = references(schema);
    expect(found).toHaveLength(2);
    for (const reference of found) expect(reference).toMatch(/^#\/components\/schemas\/graft\.input\.\w+$/);
    const { tree } = schema?.properties as { tree: { $ref: string } };
    expect(resolvePointer(document, tree.$ref)).toMatchObject({
      properties: { name: { type: "string" }, children: { items: { $ref: tree.$ref } } },
    });
  });

  test("a schema with a name of its own at its root", () => {
    expect(document.components.schemas["named.input"]).toEqual({ $ref: "#/components/schemas/named.input.Tree" });
    expect(document.components.schemas["named.input.Tree"]).toMatchObject({ properties: { name: { type: "string" } } });
  });
});

describe("schemaComponents", () => {
  const base = "#/components/schemas/s";

  test("follows references, and leaves alone what only looks like one", () => {
    const schema = {
      properties: { $ref: { type: "string" }, default: { $ref: "#/$defs/a" } },
      default: { $ref: "#/not/a/reference" },
      enum: ["#", { $ref: "#" }],
      allOf: [
        { $ref: "#/$defs/a/items" },
        { $ref: "https://example.com/schema" },
        { $ref: "other.json#/a" },
        { $ref: "#/properties/$ref" },
      ],
      prefixItems: [[{ $ref: "#" }]],
      $defs: { a: { items: { $ref: "#/$defs/b" } }, b: true },
    };
    expect(schemaComponents("s", schema)).toEqual({
      s: {
        properties: { $ref: { type: "string" }, default: { $ref: `${base}.a` } },
        default: { $ref: "#/not/a/reference" },
        enum: ["#", { $ref: "#" }],
        allOf: [
          { $ref: `${base}.a/items` },
          { $ref: "https://example.com/schema" },
          { $ref: "other.json#/a" },
          { $ref: `${base}/properties/$ref` },
        ],
        prefixItems: [[{ $ref: base }]],
      },
      "s.a": { items: { $ref: `${base}.b` } },
      "s.b": true,
    });
  });

  test("gives definitions names that OpenAPI allows, and no name twice", () => {
    const schema = {
      anyOf: [{ $ref: "#/$defs/List%3Ca~1b%3E" }, { $ref: "#/$defs/List_a_b_" }],
      $defs: { "List<a/b>": { type: "array" }, List_a_b_: { type: "null" } },
    };
    expect(schemaComponents("s", schema)).toEqual({
      s: { anyOf: [{ $ref: `${base}.List_a_b_` }, { $ref: `${base}.List_a_b__` }] },
      "s.List_a_b_": { type: "array" },
      "s.List_a_b__": { type: "null" },
    });
  });

  test("leaves a part with an $id alone: it refers to itself", () => {
    const part = { $id: "https://example.com/tree", items: { $ref: "#" } };
    expect(schemaComponents("s", { properties: { part } })).toEqual({ s: { properties: { part } } });
    expect(schemaComponents("s", part)).toEqual({ s: part });
  });
});

describe("a service's operation", () => {
  const document = openApiDocument({ services: all, authenticated: false });

  test("is named after the service, with its description and example", () => {
    const operation = callOf(document, "/double");
    expect(operation).toMatchObject({ operationId: "double", description: "Doubles a number." });
    expect(operation.requestBody?.content).toEqual({
      "application/json": { schema: { $ref: "#/components/schemas/double.input" }, example: { x: 21 } },
    });
    expect(document.components.schemas["double.input"]).toMatchObject({
      type: "object",
      properties: { x: { type: "number", description: "What to double." } },
      required: ["x"],
    });
  });

  test("a service without schemas takes and gives anything", () => {
    expect(callOf(document, "/anything").requestBody?.content).toEqual({ "application/json": { schema: {} } });
    expect(document.components.schemas).not.toHaveProperty("anything.input");
  });

  test("offers streams where the call may give one, and nothing else where it must", () => {
    const definite = { ...double, outputStream: false };
    const paths = openApiDocument({ services: [definite], authenticated: false });
    expect(Object.keys(contentOf(paths, "/double"))).toEqual(["application/json"]);
    expect(Object.keys(contentOf(document, "/double"))).toEqual(["application/json", "application/x-ndjson", "text/event-stream"]);
    expect(Object.keys(contentOf(document, "/count"))).toEqual(["application/x-ndjson", "text/event-stream"]);
    expect(Object.keys(contentOf(document, "/picture"))).toEqual(["image/png"]);
    expect(contentOf(document, "/count")["text/event-stream"]).toMatchObject({
      "x-item-schema": { $ref: "#/components/schemas/count.output" },
    });
  });

  test("takes an input stream as newline-delimited JSON", () => {
    expect(callOf(document, "/total").requestBody?.content).toEqual({
      "application/x-ndjson": {
        schema: { type: "string", description: "One item a line, each of them JSON." },
        example: '{"x":1}\n{"x":2}\n',
        "x-item-schema": { $ref: "#/components/schemas/total.input" },
      },
    });
  });

  test("describes other formats by their handler, or as bytes", () => {
    expect(callOf(document, "/picture").requestBody?.content).toEqual({
      "multipart/form-data": { schema: formSchema },
      "image/*": { schema: { type: "string", contentMediaType: "image/*" } },
      "text/csv": { schema: csvReader.bodySchema },
      "application/msgpack": { schema: csvReader.bodySchema },
    });
    expect(contentOf(document, "/picture")["image/png"]).toEqual({ schema: { type: "string", contentMediaType: "image/png" } });
  });

  test("has a batch where inputs and answers are JSON", () => {
    const batches = Object.keys(document.paths).filter((path) => path.endsWith("/batch"));
    expect(batches).toEqual(["/double/batch", "/prune/batch", "/graft/batch", "/named/batch", "/count/batch", "/anything/batch"]);
    expect(callOf(document, "/double/batch").requestBody?.content["application/json"]).toEqual({
      schema: { type: "array", items: { $ref: "#/components/schemas/double.input" } },
      example: [{ x: 21 }],
    });
  });

  test("answers every failure with a problem, whose codes are the closed set", () => {
    const { responses } = callOf(document, "/double");
    for (const status of ["400", "406", "408", "413", "415", "500", "503", "504", "default"]) {
      const response = responses[status];
      if (response === undefined || !("$ref" in response)) throw new Error(`${status} is not shared`);
      expect(resolvePointer(document, response.$ref)).toMatchObject({
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      });
    }
    const { properties } = document.components.schemas.Problem as { properties: { code: { enum: string[] } } };
    const onTheWire = new Set(errorCodes.map((code) => problemOf(new ServableError(code, "x"), undefined).code));
    expect(properties.code.enum).toEqual([...errorCodes].filter((code) => onTheWire.has(code)));
    expect(properties.code.enum).toContain("overloaded");
  });

  test("names the headers that a client may send", () => {
    const names = callOf(document, "/double").parameters?.map(({ $ref }) => (resolvePointer(document, $ref) as { name: string }).name);
    expect(names).toEqual(["x-request-id", "x-timeout-ms"]);
  });
});

describe("the document around them", () => {
  test("is beside its routes, wherever it is mounted, unless a prefix is given", () => {
    expect(openApiDocument({ services: [], authenticated: false }).servers).toEqual([{ url: "." }]);
    expect(openApiDocument({ services: [], authenticated: false, basePath: "/a/b/" }).servers).toEqual([{ url: "/a/b" }]);
    expect(openApiDocument({ services: [], authenticated: false, basePath: "/" }).servers).toEqual([{ url: "/" }]);
  });

  test("is named after its services, unless a title is given", () => {
    const titleOf = (services: typeof all, title?: string): string => openApiDocument({ services, title, authenticated: false }).info.title;
    expect(titleOf([])).toBe("servable");
    expect(titleOf([double, total])).toBe("double, total");
    expect(titleOf(all)).toBe("8 services");
    expect(titleOf(all, "Models")).toBe("Models");
  });

  test("asks for a token where calls need one, but not for the state", () => {
    const open = openApiDocument({ services: [double], authenticated: false });
    expect(open).not.toHaveProperty("security");
    expect(open.components).not.toHaveProperty("securitySchemes");
    expect(callOf(open, "/double").responses).not.toHaveProperty("401");

    const closed = openApiDocument({ services: [double], authenticated: true });
    expect(closed.security).toEqual([{ bearer: [] }]);
    expect(closed.components.securitySchemes).toMatchObject({ bearer: { type: "http", scheme: "bearer" } });
    expect(callOf(closed, "/double").responses).toHaveProperty("401");
    for (const path of ["/livez", "/readyz", "/startupz"]) expect(closed.paths[path]?.get?.security).toEqual([]);
    expect(closed.paths["/metrics"]?.get).not.toHaveProperty("security");
  });

  test("holds operation ids that differ", () => {
    const { paths } = openApiDocument({ services: all, authenticated: false });
    const ids = Object.values(paths).flatMap(({ get, post }) => [get, post].flatMap((operation) => operation?.operationId ?? []));
    expect(ids).toContain("double");
    expect(ids).toContain("readyz");
    expect(new Set(ids).size).toBe(ids.length);
  });
});
