import { describe, expect, test } from "vitest";
import { BytesHandler } from "../../../src/service/handlers/bytes-handler.ts";
import type { RequestHandler, ResponseHandler } from "../../../src/service/handlers/handler.ts";
import { ImageHandler } from "../../../src/service/handlers/image-handler.ts";
import { JsonHandler } from "../../../src/service/handlers/json-handler.ts";
import { MessagePackHandler } from "../../../src/service/handlers/message-pack-handler.ts";
import { MultipartHandler } from "../../../src/service/handlers/multipart-handler.ts";
import { TextHandler } from "../../../src/service/handlers/text-handler.ts";
import { ServableError } from "../../../src/errors.ts";
import type { ContractCase } from "../../../src/testing/contract.ts";
import { handlerContract } from "../../../src/testing/handler-contract.ts";
import { corners, toSharp } from "./pictures.ts";

const json = new JsonHandler();
const text = new TextHandler();
const bytes = new BytesHandler();
const messagePack = new MessagePackHandler();
const image = new ImageHandler({ field: "image" });
const values = [{ x: 1, list: [true, null, "é"] }, "a", 5, null, []];
const form =
  '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B\r\n' +
  'Content-Disposition: form-data; name="f"; filename="x.bin"\r\n\r\nabc\r\n--B--\r\n';

const suites: Record<string, readonly ContractCase[]> = {
  json: handlerContract({ request: json, response: json, bodies: [{ body: '{"x":[1,"é",{"y":null}]}' }, { body: "5" }], values }),
  "message pack": handlerContract({
    request: messagePack,
    response: messagePack,
    bodies: [{ body: Uint8Array.of(0x82, 0xa1, 0x78, 0x93, 1, 0xa2, 0xc3, 0xa9, 0xc0, 0xa1, 0x79, 0xc4, 2, 1, 2) }],
    values: [...values, { file: Uint8Array.of(1, 2) }],
  }),
  bytes: handlerContract({ request: bytes, response: bytes, bodies: [{ body: Uint8Array.of(1, 2, 3) }], values: [Uint8Array.of(9)] }),
  text: handlerContract({
    request: text,
    response: text,
    bodies: [{ body: "héllo" }, { body: Uint8Array.of(0xe9), contentType: "text/plain; charset=latin1" }],
    values: ["", "é😀\n"],
  }),
  multipart: handlerContract({ request: new MultipartHandler(), bodies: [{ body: form, contentType: "multipart/form-data; boundary=B" }] }),
  image: handlerContract({
    request: image,
    response: image,
    bodies: [
      { body: await toSharp(corners()).png().toBuffer() },
      { body: await toSharp(corners()).jpeg().toBuffer(), contentType: "image/jpeg" },
    ],
    values: [corners(16, 16)],
    roundTrip: (read, written, mediaType) => {
      if (mediaType === "image/png") expect(read).toEqual(written);
      else expect([read.width, read.height]).toEqual([written.width, written.height]);
    },
  }),
};

for (const [name, cases] of Object.entries(suites)) {
  describe(name, () => {
    for (const { name: what, run, skip } of cases) test.skipIf(skip !== undefined)(what, run, 60_000);
  });
}

describe("the suite itself", () => {
  /** The names of the cases that a handler fails. */
  async function failed(request?: Partial<RequestHandler<string>>, response?: Partial<ResponseHandler<string>>): Promise<string[]> {
    const names: string[] = [];
    const cases = handlerContract({
      request: request && { mediaTypes: text.mediaTypes, deserialize: (payload) => text.deserialize(payload), ...request },
      response: response && { mediaTypes: text.mediaTypes, serialize: (value: string) => text.serialize(value), ...response },
      bodies: [{ body: "hello" }],
      values: ["hello"],
    });
    for (const { name, run, skip } of cases) {
      if (skip !== undefined) continue;
      await run().catch(() => names.push(name));
    }
    return names;
  }
  let state = 0;

  test.each<[string, string, Partial<RequestHandler<string>> | undefined, Partial<ResponseHandler<string>> | undefined]>([
    ["upper-case media types", "names well-formed media types", { mediaTypes: ["Text/Plain"] }, undefined],
    ["parameters", "names well-formed media types", { mediaTypes: ["text/plain; charset=utf-8"] }, undefined],
    ["no concrete type", "names well-formed media types", undefined, { mediaTypes: ["text/*"] }],
    ["state", "reads its examples", { deserialize: () => String(state++) }, undefined],
    [
      "reading the whole buffer",
      "inside a larger buffer",
      { deserialize: ({ body }) => Buffer.from(body.buffer).toString("latin1") },
      undefined,
    ],
    ["writing into the body", "does not change the body", { deserialize: ({ body }) => String(body.fill(0).length) }, undefined],
    ["blaming itself", "an empty body", { deserialize: ({ body }) => serverFault(body) }, undefined],
    ["throwing no Error", "an empty body", { deserialize: ({ body }) => throwNumber(body) }, undefined],
    ["losing what it wrote", "reads back what it wrote", { deserialize: () => "x" }, {}],
    ["writing an object", "writes its examples", undefined, { serialize: () => ({}) as unknown as string }],
  ])("finds %s", async (_name, expected, request, response) => {
    expect((await failed(request, response)).join("; ")).toContain(expected);
  });

  test("passes a good pair", async () => {
    expect(await failed({}, {})).toEqual([]);
  });

  function serverFault(body: Uint8Array): string {
    if (body.length === 0) throw new ServableError("internal", "oops");
    return String(body.length);
  }

  function throwNumber(body: Uint8Array): string {
    if (body.length === 0) throw 5;
    return String(body.length);
  }
});
