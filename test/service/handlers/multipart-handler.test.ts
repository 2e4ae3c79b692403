import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MultipartHandler, requireFile } from "../../../src/service/handlers/multipart-handler.ts";
import { failureOf, payloadOf } from "./support.ts";

const handler = new MultipartHandler();
const contentType = "multipart/form-data; boundary=B";
const read = (body: string | Uint8Array, type = contentType): ReturnType<MultipartHandler["deserialize"]> =>
  handler.deserialize(payloadOf(body, type));
const part = (name: string, content: string): string => `--B\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;

/** What fetch sends for a form. */
async function encodeForm(form: FormData): Promise<{ contentType: string; body: Uint8Array }> {
  const response = new Response(form);
  return { contentType: response.headers.get("content-type") ?? "", body: new Uint8Array(await response.arrayBuffer()) };
}

describe("reading", () => {
  test("gives fields and files, each name with all its values", () => {
    const file = '--B\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x00\r\n\r\n--B\r\n';
    const form = read(`${part("a", "1")}${part("b", "")}${part("a", "é")}${file.slice(0, -5)}--B--\r\n`);
    expect([...form.fields]).toEqual([
      ["a", ["1", "é"]],
      ["b", [""]],
    ]);
    expect([...form.files]).toEqual([["f", [{ name: "a.png", mediaType: "image/png", data: Uint8Array.of(0, 13, 10) }]]]);
    expect(form.files.get("f")?.[0]?.data.byteOffset).toBe(0);
  });

  test.each([
    ["no line break at the end", `${part("a", "1")}--B--`],
    ["a preamble and an epilogue", `ignore this\r\n${part("a", "1")}--B--\r\nand this`],
    ["a line break first", `\r\n${part("a", "1")}--B--`],
    ["blanks after the boundary", `--B \t\r\n${part("a", "1").slice(5)}--B--`],
    ["a lower-case header", `--B\r\ncontent-disposition:form-data;name=a\r\nX-More: yes\r\n\r\n1\r\n--B--`],
    [
      "a part of an encoding that changes nothing",
      part("a", "1").replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n") + "--B--",
    ],
  ])("takes a form with %s", (_name, body) => {
    expect([...read(body).fields]).toEqual([["a", ["1"]]]);
  });

  test.each([
    ["a quoted boundary", 'multipart/form-data; charset=utf-8; boundary="a b=c"', "a b=c"],
    ["a boundary of 70 characters", `multipart/form-data; boundary=${"x".repeat(70)}`, "x".repeat(70)],
    ["an upper-case type", "Multipart/Form-Data; Boundary=B", "B"],
  ])("takes %s", (_name, type, boundary) => {
    const body = `--${boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--${boundary}--`;
    expect([...read(body, type).fields]).toEqual([["a", ["1"]]]);
  });

  test.each([
    ['name="a"; filename="b.png"', "a", "b.png"],
    ["name=a; filename=b.png", "a", "b.png"],
    ['filename="b;c.png"; name="a"', "a", "b;c.png"],
    ['name="a"; filename=""', "a", ""],
    ['name="a\\"b"; filename="c\\\\d"', 'a"b', "c\\d"],
    ['name="a%22b"; filename="c%0D%0Ad"', 'a"b', "c\r\nd"],
    ['name="é"; filename="ü.png"', "é", "ü.png"],
    [`name="a"; filename*=UTF-8''%C3%BC%20.png`, "a", "ü .png"],
    [`name="a"; filename="b.png"; filename*=UTF-8''c.png;`, "a", "b.png"],
  ])("understands the disposition %s", (disposition, field, name) => {
    const form = read(`--B\r\nContent-Disposition: form-data; ${disposition}\r\n\r\nx\r\n--B--`);
    expect(form.files.get(field)).toEqual([{ name, mediaType: "application/octet-stream", data: Uint8Array.of(0x78) }]);
  });

  test("reads what fetch sends, whatever is in it", async () => {
    const names = fc.string({ unit: "grapheme", maxLength: 8 });
    const texts = fc.string({ unit: "grapheme" });
    const hostile = fc.constantFrom("\r\n", "--", "\r\n--", "\r", '"', "Content-Disposition: form-data", "\r\n\r\n", "-", "B");
    const contents = fc.oneof(
      fc.uint8Array(),
      fc.array(hostile, { maxLength: 12 }).map((pieces) => new TextEncoder().encode(pieces.join(""))),
    );
    const entry = fc.oneof(
      fc.record({ kind: fc.constant("field" as const), name: names, text: texts }),
      // fetch sends a file with an empty name as a field
      fc.record({ kind: fc.constant("file" as const), name: names, fileName: names.filter((name) => name !== ""), data: contents }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 6 }), async (entries) => {
        const form = new FormData();
        for (const item of entries) {
          if (item.kind === "field") form.append(item.name, item.text);
          else form.append(item.name, new Blob([new Uint8Array(item.data)], { type: "image/x-test" }), item.fileName);
        }
        const { contentType: type, body } = await encodeForm(form);
        const read = handler.deserialize({ contentType: type, body });
        // The platform's own reader is the reference.
        // eslint-disable-next-line @typescript-eslint/no-deprecated -- discouraged on servers, for its speed and its lack of limits
        const reference = await new Response(new Uint8Array(body), { headers: { "content-type": type } }).formData();
        const fields = new Map<string, string[]>();
        const files = new Map<string, object[]>();
        for (const [name, value] of reference) {
          if (typeof value === "string") fields.set(name, [...(fields.get(name) ?? []), value]);
          else {
            const file = { name: value.name, mediaType: value.type, data: new Uint8Array(await value.arrayBuffer()) };
            files.set(name, [...(files.get(name) ?? []), file]);
          }
        }
        expect(read.fields).toEqual(fields);
        expect(read.files).toEqual(files);
      }),
      { numRuns: 150 },
    );
  });
});

describe("refusing", () => {
  const good = `${part("a", "1")}${part("b", "2")}--B--\r\n`;

  test("any truncation", async () => {
    for (let length = 1; length < good.length - 2; length++) {
      const error = await failureOf(() => read(good.slice(0, length)), "invalid_request");
      expect(error.message).toMatch(length < 3 ? /boundary/ : /truncated/);
    }
  });

  test.each([
    ["no content type", part("a", "1"), "", "must be multipart/form-data"],
    ["another content type", good, "application/json", "must be multipart/form-data"],
    ["no boundary", good, "multipart/form-data", "names no usable boundary"],
    ["an empty boundary", good, 'multipart/form-data; boundary=""', "names no usable boundary"],
    ["a boundary of 71 characters", good, `multipart/form-data; boundary=${"x".repeat(71)}`, "names no usable boundary"],
    ["the wrong boundary", good, "multipart/form-data; boundary=C", "is not in the body"],
    ["nothing", "", contentType, "The body is empty"],
    ["JSON", '{"x":1}', contentType, "is not in the body"],
    ["bare line feeds", good.replaceAll("\r\n", "\n"), contentType, "must be followed by a line break"],
    ["a boundary that goes on", `--BX\r\n${good}`, contentType, "byte 3: a boundary must be followed by a line break"],
    ["a part without a name", "--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n--B--", contentType, "Part 1 of the form has no name"],
    ["a name that is not closed", '--B\r\nContent-Disposition: form-data; name="a\r\n\r\n1\r\n--B--', contentType, "has no name"],
    ["another disposition", '--B\r\nContent-Disposition: attachment; name="a"\r\n\r\n1\r\n--B--', contentType, "has no name"],
    ["no headers", "--B\r\n\r\n1\r\n--B--", contentType, "has no name"],
    ["no empty line", '--B\r\nContent-Disposition: form-data; name="a"\r\n--B--', contentType, "the empty line"],
    ["a malformed header", "--B\r\nnonsense\r\n\r\n1\r\n--B--", contentType, "malformed header"],
    ["many headers", `--B\r\n${"X: y\r\n".repeat(21)}\r\n1\r\n--B--`, contentType, "more than 20 headers"],
    ["a flood of headers", `--B\r\n${"X: y\r\n".repeat(100_000)}\r\n1\r\n--B--`, contentType, "headers of more than 8192 bytes"],
    ["a long header", `--B\r\nX: ${"y".repeat(100_000)}\r\n\r\n1\r\n--B--`, contentType, "headers of more than 8192 bytes"],
    ["101 parts", `${part("a", "1").repeat(101)}--B--`, contentType, "more than 100 parts"],
    ["10,000 parts", `${part("a", "1").repeat(10_000)}--B--`, contentType, "more than 100 parts"],
    [
      "base64",
      part("a", "MQ==").replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n") + "--B--",
      contentType,
      "Content-Transfer-Encoding",
    ],
  ])("%s", async (_name, body, type, message) => {
    expect((await failureOf(() => read(body, type), "invalid_request")).message).toContain(message);
  });

  test("bytes that are not UTF-8, in a field and in a header", async () => {
    const field = Buffer.from(`${part("a", "\xff")}--B--`, "latin1");
    const error = await failureOf(() => read(field), "invalid_request");
    expect(error.issues[0]?.path).toEqual(["a"]);
    const header = Buffer.from(`${part("\xff", "x")}--B--`, "latin1");
    expect((await failureOf(() => read(header), "invalid_request")).message).toContain("headers that are not valid UTF-8");
  });

  test("a disposition made to be slow", async () => {
    const disposition = `--B\r\nContent-Disposition: form-data; ${"a=".repeat(3000)}\r\n\r\n1\r\n--B--`;
    await failureOf(() => read(disposition), "invalid_request");
    await failureOf(() => read(`--B\r\nContent-Disposition: form-data; name="${"\\".repeat(7000)}\r\n\r\n1\r\n--B--`), "invalid_request");
  });

  test("a file that is too large", async () => {
    const small = new MultipartHandler({ maxFileBytes: 3 });
    const file = (content: string): string => `--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n${content}\r\n--B--`;
    expect(small.deserialize(payloadOf(file("abc"), contentType)).files.size).toBe(1);
    const error = await failureOf(() => small.deserialize(payloadOf(file("abcd"), contentType)), "payload_too_large");
    expect(error.message).toContain("'f' has 4 bytes; at most 3");
  });
});

describe("requireFile", () => {
  const file = (name: string): string => `--B\r\nContent-Disposition: form-data; name="${name}"; filename="x"\r\n\r\nabc\r\n`;

  test("gives the one file", () => {
    expect(requireFile(read(`${file("image")}--B--`), "image").data).toEqual(new TextEncoder().encode("abc"));
  });

  test.each([
    ["nothing", "--B--", "The field 'image' with a file is missing."],
    ["files elsewhere", `${file("a")}${file("b")}--B--`, "is missing; there are files in 'a', 'b'"],
    ["a text", `${part("image", "x.png")}--B--`, "holds a text; send a file in it (with curl: -F image=@path)"],
    ["two files", `${file("image")}${file("image")}--B--`, "holds 2 files; send one"],
  ])("refuses %s", async (_name, body, message) => {
    const error = await failureOf(() => requireFile(read(body), "image"), "invalid_request");
    expect(error.message).toContain(message);
    expect(error.issues[0]?.path).toEqual(["image"]);
  });
});
