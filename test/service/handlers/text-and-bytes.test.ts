import { describe, expect, test } from "vitest";
import { BytesHandler } from "../../../src/service/handlers/bytes-handler.ts";
import { TextHandler } from "../../../src/service/handlers/text-handler.ts";
import { failureOf, payloadOf } from "./support.ts";

describe("bytes", () => {
  const handler = new BytesHandler();

  test("gives bytes that start where their memory starts, so that they can be viewed as anything", () => {
    const pool = new Uint8Array([9, 9, 9, 0, 0, 128, 63, 9]);
    const body = pool.subarray(3, 7);
    const value = handler.deserialize(payloadOf(body));
    expect([value.byteOffset, value.buffer.byteLength]).toEqual([0, 4]);
    expect(new Float32Array(value.buffer)).toEqual(Float32Array.of(1));
    const fromBuffer = handler.deserialize(payloadOf(Buffer.from([1, 2])));
    expect(fromBuffer.constructor).toBe(Uint8Array);
    expect(fromBuffer).toEqual(Uint8Array.of(1, 2));
  });

  test("does not copy a body that has its memory for itself", () => {
    const body = Uint8Array.of(1, 2, 3);
    expect(handler.deserialize(payloadOf(body)).buffer).toBe(body.buffer);
    expect(handler.serialize(body)).toBe(body);
  });

  test("takes other media types, and refuses to write anything but bytes", async () => {
    expect(new BytesHandler({ mediaTypes: ["audio/wav", "audio/*"] }).mediaTypes).toEqual(["audio/wav", "audio/*"]);
    for (const wrong of ["text", [1], undefined, Float32Array.of(1)]) {
      await failureOf(() => handler.serialize(wrong as unknown as Uint8Array), "serialization_failed");
    }
  });
});

describe("text", () => {
  const handler = new TextHandler();

  test.each([
    [undefined, [0xc3, 0xa9], "é"],
    ["text/plain; charset=UTF-8", [0xc3, 0xa9], "é"],
    ['text/plain; charset="utf8"', [0xef, 0xbb, 0xbf, 0x61], "a"],
    ["text/plain; charset=iso-8859-1", [0xe9], "é"],
    ["text/plain; charset=utf-16le", [0xe9, 0], "é"],
    ["text/plain; charset=shift_jis", [0x83, 0x65], "テ"],
    ["not a media type", [0x61], "a"],
    ["text/plain", [], ""],
  ])("reads %s", (contentType, body, expected) => {
    expect(handler.deserialize(payloadOf(Uint8Array.from(body), contentType))).toBe(expected);
  });

  test.each([
    [undefined, [0xe9]],
    ["text/plain; charset=utf-8", [0xc3]],
    ["text/plain; charset=shift_jis", [0x83]],
    ["text/plain; charset=utf-16le", [0x61]],
  ])("refuses bytes that are not of the charset: %s", async (contentType, body) => {
    await failureOf(() => handler.deserialize(payloadOf(Uint8Array.from(body), contentType)), "invalid_request");
  });

  test("refuses a charset that it does not know", async () => {
    const error = await failureOf(() => handler.deserialize(payloadOf("a", "text/plain; charset=klingon")), "unsupported_media_type");
    expect(error.message).toContain("'klingon'");
    expect(error.details).toEqual({ accepted: ["text/plain; charset=utf-8"] });
  });

  test("refuses to write anything but a text", async () => {
    expect(handler.serialize("é")).toBe("é");
    await failureOf(() => handler.serialize(1 as unknown as string), "serialization_failed");
  });
});
