import { expect, test } from "vitest";
import { readGenerateRequest, writeGenerateResponse } from "../../src/protocol/generate.ts";
import { failureOf, target } from "./bodies.ts";

const inputs = [
  { name: "text", datatype: "BYTES", shape: [-1, 1] },
  { name: "ids", datatype: "INT64", shape: [-1, 2, -1] },
];
const read = (body: unknown) => readGenerateRequest(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), target, inputs);

test("members become inputs or parameters", () => {
  const request = read({ id: "1", text: "hello", ids: [1, 2, 3, 4], stream: false, parameters: { temperature: 0.5, seed: 7 } });
  expect(request).toEqual({
    modelName: "M",
    modelVersion: "",
    id: "1",
    parameters: { stream: false, temperature: 0.5, seed: 7 },
    inputs: [
      { name: "text", dataType: "BYTES", shape: [1, 1], data: ["hello"] },
      { name: "ids", dataType: "INT64", shape: [1, 2, 2], data: BigInt64Array.of(1n, 2n, 3n, 4n) },
    ],
    outputs: [],
  });
});

test("an id that is no text becomes one, since the answer repeats it", () => {
  expect(read('{"id":"a\\udcffb"}').id).toBe("a\ufffdb");
});

test("64-bit integers keep their digits", () => {
  expect(read('{"ids":[9007199254740993,1]}').inputs[0]?.data).toEqual(BigInt64Array.of(2n ** 53n + 1n, 1n));
});

test.each([
  [{ ids: [1, 2, 3] }, "INVALID_ARG: The schema can not convert input 'ids' to tensor with proper shape"],
  [[], "INTERNAL: attempt to get members for non-object"],
  [{ parameters: 5 }, "INTERNAL: Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object"],
  [{ x: { y: 1 } }, "INVALID_ARG: parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'."],
  [{ ids: ["a", "b"] }, "INTERNAL: Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer"],
  ["{", "INTERNAL: failed to parse the request JSON buffer: Missing a name for object member. at 1"],
])("%j is refused", (body, failure) => expect(failureOf(() => read(body))).toBe(failure));

test("a response is a flat object, and one element is no list", () => {
  const json = writeGenerateResponse({
    modelName: "M",
    modelVersion: "3",
    id: "1",
    parameters: { done: true },
    outputs: [
      { name: "text", dataType: "BYTES", shape: [1, 1], data: ["hi"] },
      { name: "scores", dataType: "FP32", shape: [2], data: Float32Array.of(1, 2) },
    ],
  });
  expect(JSON.parse(json)).toEqual({ id: "1", model_name: "M", model_version: "3", done: true, text: "hi", scores: [1, 2] });
});
