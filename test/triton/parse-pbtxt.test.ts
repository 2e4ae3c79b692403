import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServableError } from "../../src/errors.ts";
import type { ModelConfig } from "../../src/triton/model-config.ts";
import { parseModelConfig } from "../../src/triton/parse-pbtxt.ts";
import { writeModelConfig } from "../../src/triton/write-pbtxt.ts";
import { anyConfig } from "./config-arbitrary.ts";
import { sized } from "../support/sizes.ts";

test("a file as people write it", () => {
  const text = `# a model
name: "mlp" # its name
platform: 'onnxruntime' "_onnx"
max_batch_size: 0x10
input [
  {
    name: "x"
    data_type: TYPE_FP32
    dims: [ 1, -1 ]
  },
  { name: "y", data_type: 13; dims: 2 dims: 0 }
]
output: < name: "z" dims: [] >
version_policy: { specific { versions: [1, 2, 9223372036854775807] } }
dynamic_batching { }
instance_group [ { kind: KIND_CPU count: 02 } ]
parameters { key: "a" value: { string_value: "1" } }
parameters: { key: "b" value { string_value: "\\t\\101\\x41\\u00e4\\U0001F600\\303\\244" } };
metric_tags { value: "no key" }
`;
  expect(parseModelConfig(text)).toEqual({
    name: "mlp",
    platform: "onnxruntime_onnx",
    maxBatchSize: 16,
    input: [
      { name: "x", dataType: "TYPE_FP32", dims: [1, -1] },
      { name: "y", dataType: "TYPE_STRING", dims: [2, 0] },
    ],
    output: [{ name: "z" }],
    versionPolicy: { specific: { versions: [1, 2, 9223372036854775807n] } },
    dynamicBatching: {},
    instanceGroup: [{ kind: "KIND_CPU", count: 2 }],
    parameters: { a: { stringValue: "1" }, b: { stringValue: "\tAAä😀ä" } },
    metricTags: { "": "no key" },
  } satisfies ModelConfig);
});

test.each([
  ["", {}],
  ["\ufeffname:'a'", { name: "a" }],
  ["# only a comment", {}],
  ["name:'a'backend:'b'", { name: "a", backend: "b" }],
  ["max_batch_size:1name:'a'", { maxBatchSize: 1, name: "a" }],
  ["response_cache<enable:t>", { responseCache: { enable: true } }],
  ["max_batch_size: -  1", { maxBatchSize: -1 }],
  ["metric_tags [{key:'a' value:'1'}, {key:'a' value:'2'}]", { metricTags: { a: "2" } }],
  ["parameters { key: '__proto__' }", { parameters: Object.fromEntries([["__proto__", {}]]) }],
])("%j", (text, config) => {
  expect(parseModelConfig(text)).toEqual(config);
});

describe("scalars", () => {
  const optimization = (text: string) => parseModelConfig(`optimization { ${text} }`).optimization;
  const slots = (text: string) =>
    parseModelConfig(`sequence_batching { direct { minimum_slot_utilization: ${text} } }`).sequenceBatching?.direct?.minimumSlotUtilization;
  test.each(["true", "True", "t", "1", "01", "0x1"])("%s is true", (text) => {
    expect(optimization(`eager_batching: ${text}`)).toEqual({ eagerBatching: true });
  });
  test.each(["false", "False", "f", "0", "0x0"])("%s is false", (text) => {
    expect(optimization(`eager_batching: ${text}`)).toEqual({ eagerBatching: false });
  });
  test.each([
    ["1.5", 1.5],
    ["1.5f", 1.5],
    ["2F", 2],
    [".25", 0.25],
    ["1.", 1],
    ["1e-3", Math.fround(0.001)],
    ["-2", -2],
    ["-inf", -Infinity],
    ["Infinity", Infinity],
    ["nan", NaN],
    ["-NaN", NaN],
    ["1e40", Infinity],
    ["0.1", Math.fround(0.1)],
  ])("%s is a float", (text, value) => {
    expect(slots(text)).toBe(value);
  });
  test.each([
    ["priority: PRIORITY_MAX", { priority: "PRIORITY_MAX" }],
    ["priority: 2", { priority: "PRIORITY_MIN" }],
    ["gather_kernel_buffer_threshold: 4294967295", { gatherKernelBufferThreshold: 4294967295 }],
    ["graph { level: -0x80000000 }", { graph: { level: -(2 ** 31) } }],
  ])("%s", (text, value) => {
    expect(optimization(text)).toEqual(value);
  });
});

test.each([
  ['name: "a"\nnom: "b"', 2, 1, "ModelConfig has no field 'nom'. It has: name, platform,"],
  ['name: "a" name: "b"', 1, 11, "'name' stands twice"],
  ["dynamic_batching {}\n  sequence_batching {}", 2, 3, "'sequence_batching' and 'dynamic_batching' exclude each other"],
  ["model_warmup { inputs { key: 'x' value { zero_data: true random_data: false } } }", 1, 58, "exclude each other"],
  ['name: "a\nbackend: "b"', 1, 7, "no closing quote on its line"],
  ["name: 'a", 1, 7, "no closing quote"],
  ["name: a", 1, 7, "A string in quotes was expected, not 'a'."],
  ['name "a"', 1, 6, "':' was expected after 'name', not \"a\"."],
  ["name:", 1, 6, "not the end of the text."],
  ['name: "\\q"', 1, 8, "This is no escape."],
  ['name: "\\400"', 1, 8, "more than a byte"],
  ['name: "\\ud800"', 1, 8, "no character of Unicode"],
  ['name: "\\U00110000"', 1, 8, "no character of Unicode"],
  ['name: "a" "\\377"', 1, 7, "not UTF-8"],
  ['name: "a\0"', 1, 7, "NUL"],
  ["max_batch_size: 1.0", 1, 17, "'1.0' is no int32."],
  ["max_batch_size: 2147483648", 1, 17, "out of range: -2147483648 to 2147483647"],
  ["max_batch_size: -2147483649", 1, 17, "out of range"],
  [`max_batch_size: ${"9".repeat(100_000)}`, 1, 17, "out of range"],
  ["max_batch_size: 08", 1, 17, "octal"],
  ["max_batch_size: '8'", 1, 17, "'8' is no int32."],
  ["dynamic_batching { priority_levels: -1 }", 1, 37, "out of range: 0 to 18446744073709551615"],
  ['input { data_type: "TYPE_FP32" }', 1, 20, "Its names stand without quotes."],
  ["input { data_type: FP32 }", 1, 20, "'FP32' is not one of TYPE_INVALID, TYPE_BOOL"],
  ["input { data_type: 99 }", 1, 20, "'99' is not one of"],
  ["input { dims: [1, 2,] }", 1, 21, "is no int64"],
  ["input { dims: [1 2] }", 1, 18, "',' or ']' was expected"],
  ["input { dims: [1, 2", 1, 20, "',' or ']' was expected in a list, not the end of the text."],
  ["input { dims: 9007199254740992 }", 1, 15, "out of range"],
  ["max_batch_size: [1]", 1, 17, "'[' is no int32."],
  ["input {\n", 2, 1, "'}' is missing"],
  ["input < }", 1, 9, "A field of ModelInput was expected, not '}'."],
  ["}", 1, 1, "A field of ModelConfig was expected, not '}'."],
  ["response_cache { enable: yes }", 1, 26, "'yes' is no bool."],
  ["response_cache { enable: -1 }", 1, 26, "'-' is no bool."],
  ["response_cache: 1", 1, 17, "'{' was expected at the start of ModelResponseCache, not '1'."],
  ["metric_tags { key: 1 }", 1, 20, "A string in quotes was expected"],
  ["metric_tags { key: 'a' key: 'b' }", 1, 24, "'key' stands twice"],
  ["metric_tags { other: 'a' }", 1, 15, "has 'key' and 'value', not 'other'"],
  ["name: 'a',,", 1, 11, "not ','"],
  ["ä: 'a'", 1, 1, "'ä' has no place here"],
  ["name: 'a' \0", 1, 11, "U+0000 has no place here"],
  ["[type.googleapis.com/x] {}", 1, 1, "A field of ModelConfig was expected, not '['."],
  ["name: 'a' @", 1, 11, "'@' has no place here"],
])("%j is refused where it is wrong", (text, line, column, message) => {
  const error = thrownBy(() => parseModelConfig(text));
  expect(error).toMatchObject({ code: "invalid_config", details: { line, column } });
  expect(error?.message).toContain(message);
  expect(error?.message).toMatch(new RegExp(`^line ${line}, column ${column}: `));
  expect(error?.message.length).toBeLessThan(600);
});

test("the field that is wrong is named", () => {
  const error = thrownBy(() => parseModelConfig("input { name: 'a' } input { reshape { shape: [1, x] } }"));
  expect(error?.issues).toEqual([{ path: ["input", 1, "reshape", "shape", 1], message: "'x' is no int64." }]);
});

test("a text that is too long is refused before it is read", () => {
  expect(thrownBy(() => parseModelConfig(" ".repeat(5_000_000)))?.code).toBe("invalid_config");
});

describe("whatever it gets, it answers with a configuration or with its own error", () => {
  const holds = (text: string) => {
    const error = thrownBy(() => parseModelConfig(text));
    if (error !== undefined) expect(error.code).toBe("invalid_config");
  };

  test("random text and bytes", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), holds), { numRuns: sized(500, 2000) });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => holds(Buffer.from(bytes).toString("latin1"))),
      { numRuns: sized(500, 2000) },
    );
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }), (units) => holds(String.fromCharCode(...units))),
      { numRuns: sized(250, 1000) },
    );
  });

  test("pieces of the language in any order", () => {
    const piece = fc.constantFrom(
      ..."{ } < > [ ] : ; , - # \n name input dims data_type TYPE_FP32 key value parameters version_policy all \" ' \\ 1 1.5 0x 1e 'a' inf \\x".split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        holds(pieces.join(" "));
        holds(pieces.join(""));
      }),
      { numRuns: sized(1250, 5000) },
    );
  });

  test("valid text with some of it changed", () => {
    const change = fc.record({ at: fc.nat(), cut: fc.nat({ max: 5 }), put: fc.string({ maxLength: 3 }) });
    fc.assert(
      fc.property(anyConfig, fc.array(change, { minLength: 1, maxLength: 4 }), (config, changes) => {
        let text = writeModelConfig(config);
        for (const { at, cut, put } of changes) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + put + text.slice(place + cut);
        }
        holds(text);
      }),
      { numRuns: sized(250, 1000) },
    );
  });

  test.each([
    ["nested", "input {".repeat(500_000)],
    ["bracketed", `input ${"[".repeat(1_000_000)}`],
    ["a long comment", `#${"#".repeat(4_000_000)}`],
    ["many fields", "input {}\n".repeat(400_000)],
    ["many strings", `name: ${'"a" '.repeat(1_000_000)}`],
    ["a long string", `name: "${"a".repeat(4_000_000)}"`],
    ["a long number", `max_batch_size: ${"1".repeat(4_000_000)}`],
    ["a long float", `max_batch_size: ${"1".repeat(2_000_000)}.${"1".repeat(2_000_000)}`],
    ["a long name", "a".repeat(4_000_000)],
    ["many minus signs", `max_batch_size: ${"-".repeat(4_000_000)}`],
  ])("%s, within seconds", (_what, text) => {
    const start = performance.now();
    holds(text);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

function thrownBy(call: () => unknown): ServableError | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(ServableError);
    return error as ServableError;
  }
}
