import fc from "fast-check";
import { expect, test } from "vitest";
import { arrayTypes, dataTypes, type DataType } from "../../src/tensor/data-type.ts";
import { bytesOfData, elementsOf, readStrings, writeStrings } from "../../src/protocol/elements.ts";
import { readGenerateRequest } from "../../src/protocol/generate.ts";
import { parseLenientJson } from "../../src/protocol/http/lenient-json.ts";
import { readHeaderLength } from "../../src/protocol/http/header-length.ts";
import { readInferRequest } from "../../src/protocol/http/read-request.ts";
import { decodeBody, rawBytes } from "../../src/protocol/http/read-text.ts";
import type { InferInput } from "../../src/protocol/inference.ts";
import { InferenceError } from "../../src/protocol/inference-error.ts";
import { bodyOf, failureOf, read, target, withInput } from "./bodies.ts";
import { sized } from "../support/sizes.ts";

const context = { modelName: "M", requestId: "" };

/** Runs all that a request goes through; whatever it throws must be an InferenceError. */
function survives(body: Uint8Array, headerLength: number | undefined): void {
  try {
    const { request } = readInferRequest(body, headerLength, target);
    for (const input of request.inputs) elementsOf(input, context);
  } catch (thrown) {
    if (!(thrown instanceof InferenceError)) throw thrown;
  }
}

const fixed = fc.constantFrom(...dataTypes.filter((dataType) => dataType !== "BYTES"));
const element = fc.oneof(fc.string({ unit: "grapheme" }), fc.uint8Array({ maxLength: 12 }));

test("bytes of every data type, aligned or not, are read as what they were", () => {
  fc.assert(
    fc.property(fixed, fc.uint8Array({ maxLength: 64 }), fc.nat(7), (dataType, source, shift) => {
      const size = Math.floor(source.length / arrayTypes[dataType].BYTES_PER_ELEMENT);
      const whole = source.subarray(0, size * arrayTypes[dataType].BYTES_PER_ELEMENT);
      const memory = new Uint8Array(whole.length + shift);
      memory.set(whole, shift);
      const data = elementsOf({ name: "I", dataType, shape: [size], bytes: memory.subarray(shift) }, context);
      expect(data.length).toBe(size);
      expect(Buffer.compare(bytesOfData(dataType, data), whole)).toBe(0);
    }),
  );
});

test("texts and bytes come through BYTES, as text wherever they are UTF-8", () => {
  fc.assert(
    fc.property(fc.array(element), (elements) => {
      const read = readStrings(writeStrings(elements), elements.length, "I", context);
      expect(read.map((value) => Buffer.from(value as string))).toEqual(elements.map((value) => Buffer.from(value as string)));
      for (const value of read)
        if (typeof value !== "string") expect(Buffer.from(Buffer.from(value).toString())).not.toEqual(Buffer.from(value));
    }),
  );
});

test("any bytes come through being decoded and encoded again", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(Buffer.from(rawBytes(decodeBody(bytes).text) as string)).toEqual(Buffer.from(bytes));
    }),
    { numRuns: sized(500, 2000) },
  );
});

test("the lenient parser reads JSON as JSON.parse does", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      const lenient = JSON.stringify(parseLenientJson(text), (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value));
      expect(lenient).toBe(JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: sized(250, 1000) },
  );
});

test("and refuses what JSON.parse refuses, but for what Triton knows besides", () => {
  const alphabet = fc.constantFrom(...'{}[]:,"\\u0d8etfn1-+. \n'.split(""), "true", "null", '"a"');
  fc.assert(
    fc.property(fc.array(alphabet, { maxLength: 14 }), (parts) => {
      const text = parts.join("");
      const refused = (parse: (text: string) => unknown) => {
        try {
          parse(text);
          return false;
        } catch {
          return true;
        }
      };
      // Control characters in texts and lone surrogates are where the two differ.
      fc.pre(!/\\u[dD]|"[^"]*\n/.test(text));
      expect([text, refused(parseLenientJson)]).toEqual([text, refused(JSON.parse)]);
    }),
    { numRuns: sized(1250, 5000) },
  );
});

const sound = bodyOf(
  {
    id: "1",
    parameters: { sequence_id: 5, priority: 1 },
    inputs: [
      { name: "A", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
      { name: "B", datatype: "BYTES", shape: [2], parameters: { binary_data_size: 10 } },
      { name: "C", datatype: "INT64", shape: [2], data: [1, [2]] },
    ],
    outputs: [{ name: "O", parameters: { binary_data: true, classification: 3 } }],
  },
  new Uint8Array(8),
  Uint8Array.of(1, 0, 0, 0, 97, 1, 0, 0, 0, 255),
);

test("a body that is cut anywhere", () => {
  for (let length = 0; length < sound.body.length; length++) {
    survives(sound.body.subarray(0, length), sound.headerLength);
    survives(sound.body.subarray(0, length), undefined);
  }
});

test("any header length", () => {
  for (let length = -2; length < sound.body.length + 2; length++) survives(sound.body, length);
  survives(sound.body, NaN);
  survives(sound.body, Infinity);
});

test("a body with any of its bytes changed", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(sound.body.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
      const body = Uint8Array.from(sound.body);
      for (const [at, value] of changes) body[at] = value;
      survives(body, sound.headerLength);
    }),
    { numRuns: sized(5000, 20_000) },
  );
});

test("bodies put together out of wrong things", () => {
  const anything = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom<unknown>(2 ** 53, 2 ** 63, -1, 1e300, "FP32", "BYTES", "INT8"));
  const dataType = fc.oneof(fc.constantFrom<DataType>(...dataTypes), anything);
  const shape = fc.oneof(fc.array(fc.nat(4), { maxLength: 3 }), anything);
  const parameters = fc.oneof(fc.record({ binary_data_size: fc.oneof(fc.nat(20), anything) }), anything);
  const input = fc.record(
    { name: fc.oneof(fc.string(), anything), datatype: dataType, shape, data: anything, parameters },
    { requiredKeys: ["name"] },
  );
  const output = fc.record({ name: fc.oneof(fc.string(), anything), parameters: anything }, { requiredKeys: [] });
  const body = fc.record(
    { id: anything, parameters: anything, inputs: fc.array(input), outputs: fc.array(output) },
    { requiredKeys: ["inputs"] },
  );
  const inputs = [{ name: "a", datatype: "FP32", shape: [-1, 2] }];
  fc.assert(
    fc.property(body, fc.uint8Array({ maxLength: 20 }), (json, tensors) => {
      const written = bodyOf(json, tensors);
      survives(written.body, written.headerLength);
      expect(failureOf(() => readGenerateRequest(written.body, target, inputs))).toBeTypeOf("string");
    }),
    { numRuns: sized(2500, 10_000) },
  );
});

test("10,000 inputs are read, and fast", () => {
  const many = {
    inputs: Array.from({ length: 10_000 }, (_, index) => ({ name: `I${index}`, datatype: "FP32", shape: [1], data: [index] })),
  };
  expect(read(many).request.inputs).toHaveLength(10_000);
});

test.each([
  ["of lists", "[", "]"],
  ["of objects", '{"a":', "}"],
])("a million levels %s", (_what, open, close) => {
  for (const inner of ["1", "NaN", ""]) {
    const deep = open.repeat(1_000_000) + inner + close.repeat(1_000_000);
    const body = Buffer.from(`{"inputs":[{"name":"I","datatype":"FP32","shape":[1],"data":[${deep}]}]}`);
    expect(failureOf(() => readInferRequest(body, undefined, target))).toMatch(/^INVALID_ARG: JSON nesting depth/);
  }
});

test("twenty thousand levels in a body too small to be looked through first", () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  expect(failureOf(() => read(`{"inputs":[{"name":"I","datatype":"FP32","shape":[1],"data":${deep}}]}`))).toMatch(
    /^INVALID_ARG: JSON nesting/,
  );
  expect(failureOf(() => read(`{"x":${deep},"inputs":[]}`))).toBe("no failure");
});

test("brackets in texts are no levels", () => {
  const text = `${"[".repeat(100_000)}\\"${"{".repeat(1000)}`;
  const body = `{"inputs":[{"name":"I","datatype":"BYTES","shape":[1],"data":["${text}"]}]}`;
  expect(failureOf(() => read(body))).toBe("no failure");
});

test("lengths of strings that lie", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), fc.nat(5), (bytes, count) => {
      const input: InferInput = { name: "I", dataType: "BYTES", shape: [count], bytes };
      expect(failureOf(() => elementsOf(input, context))).toBeTypeOf("string");
    }),
    { numRuns: sized(1250, 5000) },
  );
});

test("a shape reserves no memory that its data does not fill", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let run = 0; run < 100; run++) expect(failureOf(() => read(withInput({ shape: [2 ** 30], data: [1] })))).toMatch(/^INTERNAL/);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
});

test("any text as a header length", () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), (text, length) => {
      expect(failureOf(() => readHeaderLength(text, length))).toBeTypeOf("string");
    }),
  );
});
