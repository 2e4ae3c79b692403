import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonHandler } from "../../../src/service/handlers/json-handler.ts";
import { findJsonSyntaxError } from "../../../src/service/handlers/json-syntax.ts";
import { failureOf, payloadOf } from "./support.ts";
import { sized } from "../../support/sizes.ts";

const handler = new JsonHandler();
const read = (text: string | Uint8Array): unknown => handler.deserialize(payloadOf(text, "application/json"));
const write = (value: unknown): string => handler.serialize(value);

describe("reading", () => {
  test("reads any JSON value, with or without a byte order mark", () => {
    expect(read('{"x":1,"é":[true,null,"\\u00e9"]}')).toEqual({ x: 1, é: [true, null, "é"] });
    expect(read("\ufeff[1]")).toEqual([1]);
    expect(read(' "a" \n')).toBe("a");
  });

  test("reads a view on a larger buffer", () => {
    const larger = new TextEncoder().encode('garbage{"x":1}garbage');
    expect(read(larger.subarray(7, 14))).toEqual({ x: 1 });
  });

  test.each([
    ["", "The body is empty; send a JSON value."],
    [" \n\t", "The body is empty; send a JSON value."],
    ["\ufeff", "The body is empty; send a JSON value."],
    [Uint8Array.of(0x22, 0xff, 0x22), "not valid UTF-8"],
    [Uint8Array.of(0xed, 0xa0, 0x80), "not valid UTF-8"],
    ['{"x":1', "line 1, column 7: ',' or '}' is expected, but the body ends here"],
    ["{x:1}", 'line 1, column 2: a property name in double quotes is expected, found "x"'],
    ['{\n  "x": 1,\n  "y" 2\n}', "line 3, column 7: ':' is expected after a property name, found \"2\""],
    ["[1,2,]", 'column 6: a value is expected, found "]"; JSON allows no comma before a closing bracket'],
    ['{"x":1,}', "JSON allows no comma before a closing bracket"],
    ["[1 2]", "column 4: ',' or ']' is expected, found \"2\""],
    ["[1]]", "column 4: nothing more is expected after the value"],
    ['"abc', "column 5: the closing quote of a text is expected, but the body ends here"],
    ['"a\nb"', "a control character in a text must be escaped"],
    ['"a\\x"', "column 3: an escape such as"],
    ['{"x":NaN}', "column 6: NaN is not JSON; send null, or a number that exists"],
    ["[-NaN]", "NaN is not JSON"],
    ["[-Infinity]", "Infinity is not JSON"],
    ["undefined", "undefined is not JSON"],
    ['{"a":True}', "true and false in lower case"],
    ['{"a":None}', "None is not JSON; send null"],
    ["{'x':1}", "column 2: JSON puts texts in double quotes"],
    ["// hello\n1", "JSON has no comments"],
    ["[.5]", "a JSON number starts with a digit"],
    ["x=1", 'a value is expected, found "x"'],
    ["[01]", "',' or ']' is expected, found \"1\""],
    ["\u{1f600}", 'found "\u{1f600}"'],
    ["<html>".repeat(50), 'line 1, column 1: a value is expected, found "<"'],
  ])("refuses %j", async (text, message) => {
    const error = await failureOf(() => read(text), "invalid_request");
    expect(error.message).toContain(message);
    expect(error.message.length).toBeLessThan(200);
  });

  test.each([
    '{"__proto__":{"admin":true}}',
    '{"a":[{"b":{"__proto__":1}}]}',
    '{"\\u005f_proto__":{"admin":true}}',
    '{"__pr\\u006Fto__":{"admin":true}}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"constr\\u0075ctor":{"protot\\u0079pe":{"admin":true}}}',
    '{ "__proto__" : 1 }',
  ])("refuses a key that changes prototypes: %s", async (text) => {
    expect((await failureOf(() => read(text), "invalid_request")).message).toContain("prototype");
  });

  test("takes keys and texts that only look alike", () => {
    for (const text of ['{"proto":1}', '{"constructor":"x"}', '["__proto__"]', '{"prototype":{"x":"\\u0061"}}']) {
      expect(JSON.stringify(read(text))).toBe(JSON.stringify(JSON.parse(text)));
    }
  });

  test.each([
    ["a bare one", "1e999", []],
    ["a nested one", '{"a":1,"items":[1,{"x":-1e400}]}', ["items", 1, "x"]],
    ["one with a plus", '{"x":1E+309}', ["x"]],
    ["400 digits", `{"x":${"9".repeat(400)}}`, ["x"]],
    ["the fewest digits that overflow with an exponent of two", `[${"9".repeat(210)}e99]`, [0]],
    ["211 digits and an exponent", `[${"2".repeat(211)}e98]`, [0]],
    ["310 digits far into the text", `[1.5,${"1,".repeat(300)}1${"0".repeat(309)}]`, [301]],
  ])("tells a number that overflows: %s", async (_name, text, path) => {
    const error = await failureOf(() => read(text), "invalid_request");
    expect(error.issues[0]?.path).toEqual(path);
    expect(error.message).toContain("out of range");
  });

  test("names at most ten fields that overflow", async () => {
    const error = await failureOf(() => read(`[${"1e999,".repeat(20)}1]`), "invalid_request");
    expect(error.issues.map(({ path }) => path)).toEqual(Array.from({ length: 10 }, (_, index) => [index]));
  });

  test("takes large numbers that are finite", () => {
    expect(read("[1e308,1e+100,1E-400,123e0001]")).toEqual([1e308, 1e100, 0, 1230]);
    expect(read(`["${"1".repeat(500)}",1]`)).toHaveLength(2);
  });

  test.each([1001, 1_000_000])("refuses %d levels", async (levels) => {
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const error = await failureOf(() => read(`${open.repeat(levels)}1${close.repeat(levels)}`), "invalid_request");
      expect(error.message).toContain("1000 deep");
      await failureOf(() => read(open.repeat(levels)), "invalid_request");
    }
  });

  test("takes as many levels as it is told to, and brackets in texts don't count", () => {
    expect(() => read("[".repeat(1000) + "]".repeat(1000))).not.toThrow();
    expect(read(JSON.stringify(["[{".repeat(2000), '\\"['.repeat(2000)]))).toHaveLength(2);
    const flat = Array.from({ length: 5000 }, () => [{}]);
    expect(read(JSON.stringify(flat))).toEqual(flat);
    const deep = new JsonHandler({ maxDepth: 2_000_000 });
    expect(() => deep.deserialize(payloadOf("[".repeat(100_000) + "1e999" + "]".repeat(100_000)))).toThrow("out of range");
  });

  test("refuses exactly what JSON.parse refuses, and finds the place", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"a"',
      "1",
      "-",
      "0",
      ".5",
      "e3",
      "true",
      "nul",
      "\\",
      "\\n",
      " ",
      "\n",
      "x",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        const found = findJsonSyntaxError(text);
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        expect(found === undefined).toBe(valid);
      }),
      { numRuns: sized(750, 3000) },
    );
  });
});

describe("writing", () => {
  test("writes what JSON.stringify writes", () => {
    for (const value of [{ x: 1, y: [null, {}, ""] }, "", 0, false, null, [], {}, { a: undefined }, new Date(0), { "0": "x" }]) {
      expect(write(value)).toBe(JSON.stringify(value));
    }
    expect(write(undefined)).toBe("null");
  });

  test("writes typed arrays as lists, wherever they are", () => {
    expect(write(Float32Array.of(1, 2.5))).toBe("[1,2.5]");
    expect(write({ a: Uint8Array.of(1), b: "x" })).toBe('{"a":[1],"b":"x"}');
    expect(write({ a: { b: [{ c: Int16Array.of(-1, 2) }, new Float64Array(0)] } })).toBe('{"a":{"b":[{"c":[-1,2]},[]]}}');
    expect(write({ deep: { file: Buffer.from([1, 2]) } })).toBe('{"deep":{"file":[1,2]}}');
    expect(write([1, new Uint8Array(0)])).toBe("[1,[]]");
    expect(write([{ toJSON: () => ({ data: Uint8Array.of(7) }) }])).toBe('[{"data":[7]}]');
  });

  test("does not change what it writes", () => {
    const value = { a: { b: Float32Array.of(1) }, c: [Uint8Array.of(2)] };
    write(value);
    expect(value).toEqual({ a: { b: Float32Array.of(1) }, c: [Uint8Array.of(2)] });
  });

  const circle: { name: string; inner: unknown[] } = { name: "a", inner: [] };
  circle.inner.push(circle);
  test.each([
    [{ scores: [0.5, NaN] }, ["scores", 1], "scores[1] is NaN"],
    [-Infinity, [], "(the value) is -Infinity"],
    [{ embedding: Float32Array.of(1, Infinity) }, ["embedding", 1], "embedding[1] is Infinity"],
    [{ a: null, b: { c: NaN } }, ["b", "c"], "b.c is NaN"],
    [{ count: 1n }, ["count"], "count is a BigInt, which is not written as a number; give Number(value) or String(value)"],
    [{ ids: BigInt64Array.of(1n) }, ["ids", 0], "ids[0] is a BigInt"],
    [circle, ["inner", 0], "inner[0] refers back to an object that it is part of"],
    [{ a: new Map([["x", 1]]) }, ["a"], "a is a Map"],
    [[new Set([1])], [0], "[0] is a Set"],
    [{ a: Promise.resolve(1) }, ["a"], "await it"],
    [{ a: new ArrayBuffer(4) }, ["a"], "a is an ArrayBuffer"],
    [{ a: new DataView(new ArrayBuffer(4)) }, ["a"], "a is a DataView"],
    [{ toJSON: () => ({ x: NaN }) }, ["x"], "x is NaN"],
  ])("refuses %o", async (value, path, message) => {
    const error = await failureOf(() => write(value), "serialization_failed");
    expect(error.message).toContain(message);
    expect(error.issues[0]?.path).toEqual(path);
  });

  test("says so when nothing can be written, and when something throws", async () => {
    await failureOf(() => write(() => 1), "serialization_failed");
    await failureOf(() => write(Symbol("x")), "serialization_failed");
    const throwing = {
      get x(): never {
        throw new Error("a secret");
      },
    };
    expect((await failureOf(() => write(throwing), "serialization_failed")).message).not.toContain("secret");
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    expect((await failureOf(() => write(deep), "serialization_failed")).message).toContain("deeply nested");
  });

  test("what JSON can hold comes back as it was", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        let expected: unknown;
        try {
          expected = read(JSON.stringify(value));
        } catch {
          return; // a key that changes prototypes
        }
        expect(write(value)).toBe(JSON.stringify(value));
        expect(read(write(value))).toEqual(expected);
      }),
    );
  });

  test("lists of typed arrays come back as lists of the same numbers", () => {
    const arrays = fc.oneof(fc.float32Array({ noNaN: true, noDefaultInfinity: true }), fc.uint8Array(), fc.int32Array());
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), fc.array(arrays, { maxLength: 3 })), (value) => {
        const expected = Object.fromEntries(
          Object.entries(value).map(([key, list]) => [key, list.map((array) => Array.from(array, (x) => x + 0))]),
        );
        expect(read(write(value))).toEqual(expected);
      }),
    );
  });
});
