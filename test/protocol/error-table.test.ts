import { describe, expect, test } from "vitest";
import { elementsOf } from "../../src/protocol/elements.ts";
import { classify } from "../../src/protocol/classification.ts";
import { noBinaryOutputs } from "../../src/protocol/http/binary-outputs.ts";
import { writeInferResponse } from "../../src/protocol/http/write-response.ts";
import { failureOf, read, withInput } from "./bodies.ts";

const data = [1];
const shared = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";
const content =
  "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in 'parameters'. But";
const missing = (what: string) => `Unable to parse '${what}': attempt to access non-existing object member '${what}'`;

/** The rows of the contract's table that a body alone decides. */
const rows: readonly (readonly [case_: string, body: unknown, failure: string])[] = [
  ["no inputs", {}, `INTERNAL: ${missing("inputs")}`],
  ["a body that is a list", [], `INTERNAL: ${missing("inputs")}`],
  ["inputs that are no list", { inputs: {} }, "INTERNAL: Unable to parse 'inputs': attempt to access JSON non-array as array"],
  ["an id that is a number", { id: 5, inputs: [] }, "INTERNAL: Unable to parse 'id': attempt to access JSON non-string as string"],
  ["no JSON at all", "", "INTERNAL: failed to parse the request JSON buffer: The document is empty. at 0"],
  ["JSON cut off", '{"inputs":[', "INTERNAL: failed to parse the request JSON buffer: Invalid value. at 11"],
  [
    "two documents",
    "{} {}",
    "INTERNAL: failed to parse the request JSON buffer: The document root must not be followed by other values. at 3",
  ],
  ["a comma too many", '{"a":1,}', "INTERNAL: failed to parse the request JSON buffer: Missing a name for object member. at 7"],
  ["no colon", '{"a" 1}', "INTERNAL: failed to parse the request JSON buffer: Missing a colon after a name of object member. at 5"],
  ["no comma", "[1 2]", "INTERNAL: failed to parse the request JSON buffer: Missing a comma or ] after an array element. at 3"],
  [
    "an offset in bytes",
    '{"é" 1}',
    "INTERNAL: failed to parse the request JSON buffer: Missing a colon after a name of object member. at 6",
  ],
  ["a text without end", '{"a', "INTERNAL: failed to parse the request JSON buffer: Missing a closing quotation mark in string. at 3"],
  [
    "parameters that are no object",
    { parameters: [1], inputs: [] },
    "INTERNAL: failed to get request params.: attempt to get members for non-object",
  ],
  ["an input that is no object", { inputs: [5] }, `INVALID_ARG: ${content} no field is set`],
  ["no name", { inputs: [{ data }] }, `INTERNAL: ${missing("name")}`],
  [
    "a name that is a number",
    withInput({ name: 5, data }),
    "INTERNAL: Unable to parse 'name': attempt to access JSON non-string as string",
  ],
  ["no datatype", { inputs: [{ name: "I", data }] }, `INTERNAL: ${missing("datatype")}`],
  ["a datatype that does not exist", withInput({ datatype: "FP99", data }), "INVALID_ARG: invalid datatype for input I"],
  [
    "a datatype named like a member of all objects",
    withInput({ datatype: "constructor", data }),
    "INVALID_ARG: invalid datatype for input I",
  ],
  ["no shape", { inputs: [{ name: "I", datatype: "FP32", data }] }, `INTERNAL: ${missing("shape")}`],
  [
    "a negative dimension",
    withInput({ shape: [2, -5], data }),
    "INTERNAL: Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  [
    "a dimension with a fraction",
    withInput({ shape: [1.5], data }),
    "INTERNAL: Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  [
    "a dimension beyond 64 bits",
    withInput({ shape: [1e300], parameters: { binary_data_size: 0 } }),
    "INTERNAL: Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  [
    "dimensions whose product overflows",
    withInput({ shape: [2 ** 40, 2 ** 40], data }),
    "INVALID_ARG: shape [1099511627776,1099511627776] of input 'I' causes total element count to exceed maximum size of 9223372036854775807",
  ],
  ["bytes that overflow", withInput({ shape: [2 ** 61], datatype: "FP64", data }), "INVALID_ARG: byte size overflow for input 'I'"],
  ["neither data nor bytes", withInput({}), `INVALID_ARG: ${content} no field is set`],
  [
    "both data and bytes",
    withInput({ data, parameters: { binary_data_size: 4 } }),
    `INVALID_ARG: ${content} set 'data' 'binary_data_size'`,
  ],
  ["data that is no list", withInput({ data: 5 }), "INTERNAL: Unable to parse 'data': attempt to access JSON non-array as array"],
  ["null for a float", withInput({ data: [null] }), "INTERNAL: Unable to parse 'data': attempt to access JSON non-number as double"],
  ["a text for a float", withInput({ data: ["a"] }), "INTERNAL: Unable to parse 'data': attempt to access JSON non-number as double"],
  [
    "a fraction for an integer",
    withInput({ datatype: "INT32", data: [1.5] }),
    "INTERNAL: Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
  ],
  [
    "an integer beyond 64 bits",
    '{"inputs":[{"name":"I","datatype":"INT64","shape":[1],"data":[9223372036854775808]}]}',
    "INTERNAL: Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer",
  ],
  [
    "a negative one without a sign",
    withInput({ datatype: "UINT8", data: [-1] }),
    "INTERNAL: Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  [
    "1 for a bool",
    withInput({ datatype: "BOOL", data: [1] }),
    "INTERNAL: Unable to parse 'data': attempt to access JSON non-boolean as boolean",
  ],
  [
    "a number for a text",
    withInput({ datatype: "BYTES", data: [1] }),
    "INTERNAL: Unable to parse JSON bytes array: attempt to access JSON non-string as string",
  ],
  ["too much data", withInput({ data: [1, 2] }), "INTERNAL: Unable to parse 'data': Shape does not match true shape of 'data' field"],
  ["too little data", withInput({ shape: [3], data: [1, 2] }), "INTERNAL: Failed to parse 'data' field: shape does not match true shape"],
  [
    "a shape that claims much",
    withInput({ shape: [2 ** 40], data }),
    "INTERNAL: Failed to parse 'data' field: shape does not match true shape",
  ],
  [
    "FP16 in JSON",
    withInput({ datatype: "FP16", data }),
    "INVALID_ARG: receiving FP16 data via JSON is not supported. Please use the binary data format for input I",
  ],
  [
    "BF16 in JSON",
    withInput({ datatype: "BF16", data }),
    "INVALID_ARG: receiving BF16 data via JSON is not supported. Please use the binary data format for input I",
  ],
  [
    "too few bytes",
    withInput({ parameters: { binary_data_size: 4 } }),
    "INVALID_ARG: unexpected size for input 'I', expecting 4 additional bytes for model 'M'",
  ],
  [
    "a size that is no number",
    withInput({ parameters: { binary_data_size: "4" } }),
    "INTERNAL: Unable to parse 'binary_data_size': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  ["shared memory for an input", withInput({ parameters: { shared_memory_region: "R" } }), `UNSUPPORTED: ${shared}`],
  [
    "shared memory for an output",
    { inputs: [], outputs: [{ name: "O", parameters: { shared_memory_region: "R" } }] },
    `UNSUPPORTED: ${shared}`,
  ],
  [
    "a reserved parameter",
    { inputs: [], parameters: { triton_x: 1 } },
    "INVALID_ARG: parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
  ],
  [
    "a parameter that is a list",
    { inputs: [], parameters: { x: [] } },
    "INVALID_ARG: parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
  ],
  [
    "a priority that is negative",
    { inputs: [], parameters: { priority: -1 } },
    "INTERNAL: Unable to parse 'priority': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
  [
    "a sequence start that is a number",
    { inputs: [], parameters: { sequence_start: 1 } },
    "INTERNAL: Unable to parse 'sequence_start': attempt to access JSON non-boolean as boolean",
  ],
  [
    "outputs that are no list",
    { inputs: [], outputs: 5 },
    "INTERNAL: Unable to parse 'outputs': attempt to access JSON non-array as array",
  ],
  ["an output without a name", { inputs: [], outputs: [{}] }, `INTERNAL: ${missing("name")}`],
  [
    "a classification that is negative",
    { inputs: [], outputs: [{ name: "O", parameters: { classification: -1 } }] },
    "INTERNAL: Unable to set 'classification': attempt to access JSON non-unsigned-integer as unsigned-integer",
  ],
];

test.each(rows)("%s", (_case, body, failure) => expect(failureOf(() => read(body))).toBe(failure));

test("surplus bytes", () => {
  const body = withInput({ parameters: { binary_data_size: 4 } });
  expect(failureOf(() => read(body, new Uint8Array(5)))).toBe("INVALID_ARG: unexpected additional input data for model 'M'");
});

test("data nests 100 deep, not deeper", () => {
  const nested = (depth: number) => withInput({ data: JSON.parse("[".repeat(depth) + "1" + "]".repeat(depth)) as unknown });
  expect(failureOf(() => read(nested(100)))).toBe("no failure");
  expect(failureOf(() => read(nested(101)))).toMatch(/^INVALID_ARG: JSON nesting depth exceeds/);
});

describe("once the model is known", () => {
  const prefix = "INVALID_ARG: [request id: 42] ";
  const elements = (input: object) =>
    failureOf(() => elementsOf({ name: "I", dataType: "BYTES", shape: [2], ...input }, { modelName: "M", requestId: "42" }));

  test.each([
    [{ dataType: "FP32", bytes: new Uint8Array(20) }, "input byte size mismatch for input 'I' for model 'M'. Expected 8, got 20"],
    [{ dataType: "INT8", shape: [2], data: Int8Array.of(1) }, "input byte size mismatch for input 'I' for model 'M'. Expected 2, got 1"],
    [{ data: ["a"] }, "expected 2 string elements for inference input 'I' for model 'M', got 1"],
    [{ data: ["a", "b", "c"] }, "unexpected number of string elements 3 for inference input 'I' for model 'M', expecting 2"],
    [{ bytes: Uint8Array.of(0, 0, 0, 0) }, "expected 2 string elements for inference input 'I' for model 'M', got 1"],
    [{ bytes: new Uint8Array(12) }, "unexpected number of string elements 3 for inference input 'I' for model 'M', expecting 2"],
    [
      { bytes: Uint8Array.of(0, 0, 0, 0, 9, 0) },
      "incomplete string length indicator for inference input 'I' for model 'M', expecting 4 bytes but only 2 bytes available. " +
        "Please make sure the string length indicator is in one buffer.",
    ],
    [
      { bytes: Uint8Array.of(255, 255, 255, 255, 1) },
      "incomplete string data for inference input 'I' for model 'M', expecting string of length 4294967295 but only 1 bytes available",
    ],
  ])("%j", (input, text) => expect(elements(input)).toBe(prefix + text));
});

test("dimensions of bytes whose product overflows", () => {
  const input = { name: "I", dataType: "FP32", shape: [2 ** 40, 2 ** 40], bytes: new Uint8Array(4) };
  expect(failureOf(() => elementsOf(input, { modelName: "M", requestId: "" }))).toMatch(
    /^INVALID_ARG: .*causes total element count to exceed/,
  );
});

describe("on the way out", () => {
  test.each(["FP16", "BF16"] as const)("%s in JSON", (dataType) => {
    const output = { name: "O", dataType, shape: [1], data: Uint16Array.of(1) };
    const response = { modelName: "M", modelVersion: "1", id: "", parameters: {}, outputs: [output] };
    expect(failureOf(() => writeInferResponse(response, noBinaryOutputs))).toBe(
      `INVALID_ARG: sending ${dataType} data via JSON is not supported. Please use the binary data format for output`,
    );
  });

  test.each([
    ["BYTES", ["a"]],
    ["BOOL", Uint8Array.of(1)],
    ["FP16", Uint16Array.of(1)],
    ["BF16", Uint16Array.of(1)],
  ] as const)("classes of %s", (dataType, values) => {
    expect(failureOf(() => classify({ name: "O", dataType, shape: [1], data: values }, 1, { batched: false }))).toBe(
      `INVALID_ARG: class result not available for output due to unsupported type '${dataType}'`,
    );
  });
});
