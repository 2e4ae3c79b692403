import { readdir, readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { pagePaths } from "../../src/runtime/http/docs-front.ts";
import { openApiDocument } from "../../src/runtime/http/openapi.ts";
import { defineService } from "../../src/service/define-service.ts";

const web = new URL("../../web/", import.meta.url);
// The page is plain JavaScript: its types are checked by web/tsconfig.json, with a browser's library.
const schemas = await import(new URL("page-schema.js", web).href);
const wire = await import(new URL("page-wire.js", web).href);

const Tree = z.object({
  name: z.string(),
  get children() {
    return z.array(Tree).max(4);
  },
});
const order = defineService({
  name: "order",
  input: z.object({
    customer: z.object({ name: z.string().min(1).max(80), email: z.email().optional() }),
    items: z.array(z.object({ sku: z.string(), quantity: z.int().min(1).default(1) })).min(2),
    payment: z.union([
      z.object({ kind: z.literal("card"), last4: z.string().length(4) }),
      z.object({ kind: z.literal("invoice"), due: z.iso.date() }),
    ]),
    tree: Tree,
    tags: z.record(z.string(), z.string()),
    note: z.string().nullable(),
    size: z.enum(["s", "m"]),
    at: z.tuple([z.number(), z.number()]),
  }),
  output: Tree,
  call: ({ tree }) => tree,
});
const api = openApiDocument({ services: [order], authenticated: false });
const { input, output } = Object.fromEntries(["input", "output"].map((side) => [side, { $ref: `#/components/schemas/order.${side}` }]));

test("every file of the page is served, and nothing else", async () => {
  const files = (await readdir(web)).filter((name) => /\.(html|js|css)$/.test(name));
  expect([...pagePaths].sort()).toEqual(files.map((name) => (name === "index.html" ? "/" : `/${name}`)).sort());
});

test("nothing in the page is inline, or comes from elsewhere", async () => {
  const html = await readFile(new URL("index.html", web), "utf8");
  expect(html).not.toMatch(/<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=/);
  for (const [, address] of html.matchAll(/(?:href|src)="([^"]*)"/g)) expect(address).toMatch(/^(\.\/|#|data:)/);
});

describe("a schema as rows", () => {
  interface Row {
    name: string;
    type: string;
    required: boolean;
    description: string;
  }
  const rowsOf = (schema: unknown): Row[] => schemas.fieldsOf(api, schema);

  test("names each field by its path, with type, presence and demands", () => {
    expect(rowsOf(input).map(({ name, type, required, description }) => [name, type, required, description].join(" | "))).toEqual([
      "customer | object | true | ",
      "customer.name | string | true | at least 1 character · at most 80 characters",
      "customer.email | string | false | format email",
      "items | list of object | true | at least 2 items",
      "items[].sku | string | true | ",
      "items[].quantity | integer | false | ≥ 1 · default 1",
      "payment | object | true | ",
      'payment.kind | "card" | true | form 1',
      "payment.last4 | string | true | form 1 · exactly 4 characters",
      'payment.kind | "invoice" | true | form 2',
      "payment.due | string | true | form 2 · format date",
      "tree | object | true | ",
      "tree.name | string | true | ",
      "tree.children | list of object | true | at most 4 items · each like tree, nested",
      "tags | object of string | true | ",
      "note | string | null | true | ",
      'size | "s" | "m" | true | ',
      "at | [number, number] | true | ",
    ]);
  });

  test("ends where a schema refers to itself", () => {
    expect(rowsOf(output).map(({ name, description }) => [name, description])).toEqual([
      ["name", ""],
      ["children", "at most 4 items · each like the whole, nested"],
    ]);
  });

  test("shows a value that is no object as one row", () => {
    expect(rowsOf({ type: "integer", description: "How many." })).toEqual([
      { name: "", type: "integer", required: true, description: "How many." },
    ]);
    expect(rowsOf({ type: "array", items: { type: "object", properties: { x: { type: "number" } } } }).map(({ name }) => name)).toEqual([
      "",
      "[].x",
    ]);
  });

  test("comes to an end for schemas that go round in circles", () => {
    const circle = { components: { schemas: { a: { $ref: "#/components/schemas/b" }, b: { $ref: "#/components/schemas/a" } } }, paths: {} };
    expect(schemas.fieldsOf(circle, { $ref: "#/components/schemas/a" })).toHaveLength(1);
    expect(schemas.sampleOf(circle, { $ref: "#/components/schemas/a" })).toEqual({});
  });
});

test("a sample fits the schema that it is made of", () => {
  const sample = schemas.sampleOf(api, input);
  expect(sample).toEqual(expect.objectContaining({ tree: { name: "text", children: [] }, size: "s", at: [1, 1] }));
  expect(sample.items).toHaveLength(2);
  expect(order.input?.["~standard"].validate(sample)).not.toHaveProperty("issues");
});

test("what is asked for: a value before a stream, and never what the page can't read", () => {
  const accept = (...types: string[]): string => schemas.acceptOf(Object.fromEntries(types.map((type) => [type, {}])));
  expect(accept("application/json", "application/x-ndjson", "text/event-stream")).toBe("application/json, text/event-stream;q=0.9");
  expect(accept("application/x-ndjson", "text/event-stream")).toBe("text/event-stream");
  expect(accept("image/png", "application/msgpack", "application/json")).toBe("application/json, image/png;q=0.9");
  expect(accept()).toBe("*/*");
});

describe("where a text is not JSON", () => {
  test.each([
    ['{"x": 7,}', 1, 9, "a comma too many before this"],
    ['{\n  "x": 7\n  "y": 8\n}', 3, 3, "a comma or } is expected here"],
    ["{x: 1}", 1, 2, "a name in double quotes is expected here"],
    ['{"x" 1}', 1, 6, "a colon is missing"],
    ["[1, 2", 1, 6, "the text ends before its ]"],
    ["[1, ]", 1, 5, "a comma too many before this"],
    ["['a']", 1, 2, "JSON wants double quotes"],
    ['"a\nb"', 1, 1, "this text has no end, or holds a character that must be escaped"],
    ["{} {}", 1, 4, "nothing more is expected here"],
    ["NaN", 1, 1, "a value is expected here"],
    ["01", 1, 1, "a value is expected here"],
    ["", 1, 1, "the text ends too early"],
  ])("%j", (text, line, column, reason) => {
    expect(wire.jsonProblem(text)).toEqual({ line, column, reason });
  });

  test("JSON has no problem, however deep", () => {
    for (const text of ["1e5", '{"a":[true,null,-0.5,"\\u00e9\\n"]}', " [ ] ", `${"[".repeat(5000)}${"]".repeat(5000)}`]) {
      expect(wire.jsonProblem(text)).toBeUndefined();
    }
    expect(wire.jsonProblem("[".repeat(200_000))).toMatchObject({ line: 1 });
  });
});

test("JSON is written on one line where it fits, and without space for the wire", () => {
  const value = { a: 1, long: "x".repeat(40), list: [{ b: [1, 2] }, {}], empty: [] };
  expect(wire.prettyJson(value)).toBe(`{\n  "a": 1,\n  "long": "${"x".repeat(40)}",\n  "list": [{ "b": [1, 2] }, {}],\n  "empty": []\n}`);
  expect(JSON.parse(wire.prettyJson(value))).toEqual(value);
  expect(wire.compactJson('{ "a b" : "c \\" d",\n "n": 1.50, "big": 12345678901234567890 }')).toBe(
    '{"a b":"c \\" d","n":1.50,"big":12345678901234567890}',
  );
});

describe("a curl command", () => {
  const call = { url: "http://localhost/a", headers: {}, text: undefined, file: undefined, field: undefined, fields: {} };

  test("quotes what the shell would read", () => {
    const line = wire.curlLine({ ...call, text: `{"a":"it's $HOME"}`, headers: { "content-type": "application/json" } }, false);
    expect(line.split(" \\\n  ")).toEqual([
      "curl 'http://localhost/a'",
      "-H 'content-type: application/json'",
      `--data-raw '{"a":"it'\\''s $HOME"}'`,
    ]);
  });

  test("names the file, in a form or as the body, and leaves the token to a variable", () => {
    const file = new File(["x"], "a b.png", { type: "image/png" });
    expect(
      wire
        .curlLine({ ...call, file, field: "image", fields: { lang: "en" } }, true)
        .split(" \\\n  ")
        .slice(1),
    ).toEqual(['-H "authorization: Bearer $TOKEN"', "--form-string 'lang=en'", "-F 'image=@a b.png;type=image/png'"]);
    expect(wire.curlLine({ ...call, file }, false)).toContain("--data-binary '@a b.png'");
    expect(wire.curlLine(call, false)).toContain("--data-binary '@FILE'");
  });
});

describe("a stream", () => {
  const readAll = (contentType: string, pieces: string[]): unknown[] => {
    const read = wire.streamReader(contentType);
    return pieces.flatMap((piece) => read(piece));
  };

  test("of events, wherever it is cut", () => {
    const text = 'data: {"a":1}\n\n: a comment\n\ndata: one\r\ndata: two\r\n\r\nevent: end\ndata:\n\n';
    const expected = [
      { event: "message", data: '{"a":1}' },
      { event: "message", data: "one\ntwo" },
      { event: "end", data: "" },
    ];
    expect(readAll("text/event-stream", [text])).toEqual(expected);
    expect(readAll("text/event-stream", Array.from(text))).toEqual(expected);
  });

  test("of lines, wherever it is cut", () => {
    const expected = ['{"a":1}', '{"a":2}'].map((data) => ({ event: "message", data }));
    expect(readAll("application/x-ndjson", ['{"a":1}\n{"a"', ":2}", "\n"])).toEqual(expected);
    expect(readAll("application/x-ndjson; charset=utf-8", ['{"a":1}\r', '\n\n{"a":2}\n'])).toEqual(expected);
  });
});

test("finds things with a place in a picture, and nothing else", () => {
  const box = [
    [0, 0],
    [4, 0],
    [4, 2],
  ];
  expect(wire.boxesIn({ pages: [{ lines: [{ text: "a", score: 0.5, box }] }] })).toEqual([{ box, text: "a", score: 0.5 }]);
  expect(wire.boxesIn([{ label: "cat", confidence: 1, box }])).toEqual([{ box, text: "cat", score: 1 }]);
  for (const value of [null, 1, [], {}, [{ box: [1, 2, 3, 4] }], [{ box }, {}], [{ box: [["0", 0]] }]])
    expect(wire.boxesIn(value)).toEqual([]);
});

test("says how the server is, in its words", () => {
  expect(wire.readState(200, { status: "ready" })).toEqual({ state: "ready", word: "ready", reason: "" });
  expect(wire.readState(200, { status: "degraded", reason: "ocr: a worker crashed" })).toEqual({
    state: "degraded",
    word: "degraded",
    reason: "ocr: a worker crashed",
  });
  expect(wire.readState(503, { status: "starting", reason: "starting" })).toEqual({ state: "down", word: "starting", reason: "" });
  expect(wire.readState(503, { status: "not_ready", reason: "ocr: gone" })).toMatchObject({
    state: "down",
    word: "not ready",
    reason: "ocr: gone",
  });
  expect(wire.readState(502, undefined)).toMatchObject({ state: "down", word: "not ready" });
});
