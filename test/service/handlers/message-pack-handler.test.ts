import { Encoder, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MessagePackHandler } from "../../../src/service/handlers/message-pack-handler.ts";
import { failureOf, payloadOf } from "./support.ts";

const handler = new MessagePackHandler();
const read = async (body: Uint8Array): Promise<unknown> => handler.deserialize(payloadOf(body, "application/msgpack"));
const write = async (value: unknown): Promise<Uint8Array> => handler.serialize(value);
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const text = (content: string): number[] => [0xa0 + content.length, ...Buffer.from(content)];

describe("reading", () => {
  test("reads what the reference encoder writes", async () => {
    const date = new Date(1_700_000_000_123);
    const value = {
      a: [1, -1, 1.5, NaN, null, true],
      "é😀": "ü".repeat(300),
      b: bytes(1, 2),
      n: { "": {} },
      date,
      big: 2 ** 52,
      low: -(2 ** 40),
    };
    expect(await read(encode(value))).toEqual(value);
  });

  test("reads every kind of header", async () => {
    const values = [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32, -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31) - 1, 0.5, "", null];
    const sizes = [0, 15, 16, 31, 32, 255, 256, 65535, 65536];
    const all = [
      ...values,
      ...sizes.map((size) => "x".repeat(size)),
      ...sizes.map((size) => new Uint8Array(size)),
      ...sizes.map((size) => Array.from({ length: size }, () => 1)),
      ...[15, 16, 65536].map((size) => Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, index]))),
    ];
    expect(await read(encode(all))).toEqual(all);
    expect(await read(new Encoder({ forceFloat32: true }).encode([0.5]))).toEqual([0.5]);
    // fixext 1 to 16 and ext 8 to 32 of an unknown type, as @msgpack/msgpack shows them
    for (const [head, size] of [
      [[0xd4], 1],
      [[0xd8], 16],
      [[0xc7, 3], 3],
      [[0xc8, 0, 3], 3],
      [[0xc9, 0, 0, 0, 3], 3],
    ] as const) {
      expect(await read(bytes(...head, 42, ...new Uint8Array(size)))).toMatchObject({ type: 42 });
    }
  });

  test.each([
    ["nothing", [], "The body is empty"],
    ["a list that lacks an item", [0x92, 1], "truncated"],
    ["a list that claims 4 billion items", [0xdd, 0xff, 0xff, 0xff, 0xff, 1], "truncated"],
    ["a map that claims 4 billion pairs", [0xdf, 0xff, 0xff, 0xff, 0xff, 1], "truncated"],
    ["a thousand lists that claim to be large", Array.from({ length: 999 }, () => [0xdc, 0x07, 0xd0]).flat(), "truncated"],
    ["a text that claims 4 billion bytes", [0xdb, 0xff, 0xff, 0xff, 0xff, 1], "truncated"],
    ["bytes that are cut", [0xc4, 5, 1], "truncated"],
    ["a header that is cut", [0xcd, 1], "truncated"],
    ["a length that is cut", [0xda, 1], "truncated"],
    ["an unused byte", [0x91, 0xc1], "0xc1 at 1"],
    ["two values", [1, 2], "goes on after its first value, at byte 1"],
    ["JSON", [...Buffer.from('{"x":1}')], "goes on after its first value"],
    ["a text that is not UTF-8", [0xa2, 0xff, 0xfe], "not valid UTF-8"],
    ["__proto__", [0x81, ...text("__proto__"), 0x81, ...text("admin"), 0xc3], "__proto__"],
    ["constructor.prototype", [0x91, 0x81, ...text("constructor"), 0x81, ...text("prototype"), 0x80], "constructor.prototype"],
    ["a key that is a list", [0x81, 0x90, 1], "neither a text nor a number"],
    ["a key that is nil", [0x81, 0xc0, 1], "neither a text nor a number"],
    ["a malformed timestamp", [0xd4, 0xff, 1], "timestamp"],
    ["an integer over 2^53", [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1], "over 2^53"],
    ["an integer under -2^53", [0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "over 2^53"],
    ["a million levels", new Uint8Array(1_000_000).fill(0x91), "1000 deep"],
    ["levels of maps", Array.from({ length: 5000 }, () => [0x81, 1]).flat(), "deep"],
  ])("refuses %s", async (_name, content, message) => {
    const error = await failureOf(() => read(Uint8Array.from(content)), "invalid_request");
    expect(error.message).toContain(message);
  });

  test("takes keys and texts that only look alike", async () => {
    const value = { prototype: 1, constructor: "x", list: ["__proto__", "prototype"] };
    expect(await read(encode(value))).toEqual(value);
  });

  test("takes as many levels as it is told to", async () => {
    const levels = (count: number): Uint8Array => Uint8Array.from([...new Uint8Array(count).fill(0x91), 1]);
    await read(levels(1000));
    await failureOf(() => read(levels(1001)), "invalid_request");
    await new MessagePackHandler({ maxDepth: 3 }).deserialize(payloadOf(levels(3)));
  });
});

describe("writing", () => {
  test("writes typed arrays as lists, but bytes as bytes", async () => {
    const value = { embedding: Float32Array.of(1, NaN), file: bytes(1, 2), date: new Date(5), none: undefined };
    expect(await read(await write(value))).toEqual({ embedding: [1, NaN], file: bytes(1, 2), date: new Date(5) });
    expect(await write(undefined)).toEqual(bytes(0xc0));
  });

  test.each([
    [{ count: 1n }, "count is a BigInt"],
    [{ a: new Map() }, "a is a Map"],
    [() => 1, "a function"],
  ])("refuses %o", async (value, message) => {
    expect((await failureOf(() => write(value), "serialization_failed")).message).toContain(message);
  });

  test("refuses what nests too deeply to be read", async () => {
    const nest = (levels: number): unknown => (levels === 0 ? 1 : [nest(levels - 1)]);
    await read(await write(nest(1000)));
    await failureOf(() => write(nest(1001)), "serialization_failed");
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    await failureOf(() => write(deep), "serialization_failed");
  });

  test("anything comes back as it was", async () => {
    const integers = fc.maxSafeInteger();
    // MessagePack's encoder writes -0 as the integer 0, as JSON does.
    const numbers = fc.double().map((value) => value + 0);
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(integers, numbers, fc.string({ unit: "grapheme" }), fc.boolean(), fc.constant(null), fc.uint8Array()),
        fc.array(tie("tree"), { maxLength: 20 }),
        fc.dictionary(
          fc.string().filter((key) => key !== "__proto__"),
          tie("tree"),
          { maxKeys: 20, noNullPrototype: true },
        ),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async (value) => {
        expect(await read(encode(value))).toEqual(value);
        expect(await read(await handler.serialize(value))).toEqual(value);
      }),
    );
  });
});
