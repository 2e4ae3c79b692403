import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServableError } from "../../src/errors.ts";
import { modelConfigFromJson } from "../../src/triton/config-from-json.ts";
import { modelConfigType } from "../../src/triton/config-table.ts";
import { modelConfigToJson } from "../../src/triton/config-to-json.ts";
import { isMessageKind, type MessageType } from "../../src/triton/fields.ts";
import type { ModelConfig } from "../../src/triton/model-config.ts";
import { anyConfig } from "./config-arbitrary.ts";
import { sized } from "../support/sizes.ts";

/** Without what proto3 can't tell from nothing: scalars at their defaults. */
function withoutDefaults(type: MessageType, message: object): object {
  const strip = (value: unknown, inner: MessageType) => withoutDefaults(inner, value as object);
  return Object.fromEntries(
    type.fields.flatMap(({ key, kind, label, oneof }) => {
      const value: unknown = Reflect.get(message, key);
      if (!Object.hasOwn(message, key)) return [];
      if (isMessageKind(kind)) {
        if (label === "singular") return [[key, strip(value, kind)]];
        if (Array.isArray(value)) return [[key, value.map((item) => strip(item, kind))]];
        return [[key, Object.fromEntries(Object.entries(value as object).map(([name, item]) => [name, strip(item, kind)]))]];
      }
      const zero = typeof kind === "object" ? Object.keys(kind.values)[0] : kind === "string" ? "" : kind === "bool" ? false : 0;
      return label === "singular" && oneof === undefined && Object.is(value, zero) ? [] : [[key, value]];
    }),
  );
}

test("what is printed reads back as it was, but for scalars at their defaults", () => {
  fc.assert(
    fc.property(anyConfig, (config) => {
      const text = modelConfigToJson(config);
      const read = withoutDefaults(modelConfigType, modelConfigFromJson(text));
      expect(isDeepStrictEqual(read, withoutDefaults(modelConfigType, config)), text).toBe(true);
      expect(() => JSON.parse(text) as unknown).not.toThrow();
    }),
    { numRuns: 300 },
  );
});

test("as /config prints it", () => {
  const config: ModelConfig = {
    name: "m",
    maxBatchSize: 4,
    versionPolicy: { specific: { versions: [1, 2n ** 63n - 1n] } },
    input: [{ name: "x", dataType: "TYPE_FP32", dims: [-1] }],
    dynamicBatching: { priorityQueuePolicy: { 2: {} } },
    modelWarmup: [{ inputs: { x: { zeroData: true } } }],
    sequenceBatching: undefined,
  };
  expect(modelConfigToJson(config)).toBe(
    '{"name":"m","platform":"","backend":"","runtime":"","version_policy":{"specific":{"versions":[1,9223372036854775807]}},"max_batch_size":4,' +
      '"input":[{"name":"x","data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[-1],"is_shape_tensor":false,"allow_ragged_batch":false,' +
      '"optional":false,"is_non_linear_format_io":false}],"output":[],"batch_input":[],"batch_output":[],' +
      '"dynamic_batching":{"preferred_batch_size":[],"max_queue_delay_microseconds":0,"preserve_ordering":false,"priority_levels":0,' +
      '"default_priority_level":0,"priority_queue_policy":{"2":{"timeout_action":"REJECT","default_timeout_microseconds":0,' +
      '"allow_timeout_override":false,"max_queue_size":0}}},"instance_group":[],"default_model_filename":"","cc_model_filenames":{},' +
      '"metric_tags":{},"parameters":{},"model_warmup":[{"name":"","batch_size":0,"inputs":{"x":{"data_type":"TYPE_INVALID","dims":[],' +
      '"zero_data":true}},"count":0}]}',
  );
});

test.each<[string, ModelConfig]>([
  ['{"max_batch_size": 4, "input": null, "output": []}', { maxBatchSize: 4 }],
  ['{"maxBatchSize": "4"}', { maxBatchSize: 4 }],
  ['{"maxBatchSize": 4.0}', { maxBatchSize: 4 }],
  ['{"maxBatchSize": 1e2}', { maxBatchSize: 100 }],
  ['{"input": [{"data_type": "type_fp32"}, {"dataType": 13}]}', { input: [{ dataType: "TYPE_FP32" }, { dataType: "TYPE_STRING" }] }],
  ['{"dynamic_batching": {}}', { dynamicBatching: {} }],
  ['{"dynamic_batching": {"priority_levels": 18446744073709551615}}', { dynamicBatching: { priorityLevels: 2n ** 64n - 1n } }],
  ['{"dynamic_batching": {"priority_levels": "9007199254740993"}}', { dynamicBatching: { priorityLevels: 9007199254740993n } }],
  ['{"dynamic_batching": {"priority_queue_policy": {"02": {}}}}', { dynamicBatching: { priorityQueuePolicy: { 2: {} } } }],
  [
    '{"modelMetrics": {"metricControl": [{"histogramOptions": {"buckets": ["-Infinity", 1, "2.5"]}}]}}',
    { modelMetrics: { metricControl: [{ histogramOptions: { buckets: [-Infinity, 1, 2.5] } }] } },
  ],
])("%s", (text, config) => {
  expect(modelConfigFromJson(text)).toEqual(config);
});

test.each([
  ["", "line 1, column 1: The text ends too early."],
  ['{"name": "a",\n}', "line 2, column 1: A name in double quotes was expected."],
  ['{"name": "a"} 1', "line 1, column 15: Nothing may follow the value."],
  ['{"name": "a', "line 1, column 10: This string is not closed."],
  ['{"name": "\\x"}', "line 1, column 10: This string holds an escape or a character that JSON does not have."],
  ["[]", "(the value): an object was expected (ModelConfig)."],
  ['{"nom": 1}', "nom: ModelConfig has no such field; it has: name, platform, "],
  ['{"input": [{"dim": [1]}]}', "input[0].dim: ModelInput has no such field; it has: name, data_type, "],
  ['{"max_batch_size": 1, "maxBatchSize": 1}', "max_batch_size: it stands twice."],
  ['{"dynamic_batching": {}, "sequenceBatching": {}}', "sequence_batching: another of scheduling_choice is set already."],
  ['{"max_batch_size": 2147483648}', "max_batch_size: 2147483648 is out of range: -2147483648 to 2147483647 (int32)."],
  ['{"max_batch_size": 1.5}', "max_batch_size: 1.5 is not int32."],
  ['{"max_batch_size": true}', "max_batch_size: true is not int32."],
  ['{"name": 1}', "name: 1 is not string."],
  ['{"name": "\\ud800"}', 'name: "\\ud800" is not string.'],
  ['{"response_cache": {"enable": "true"}}', 'response_cache.enable: "true" is not bool.'],
  ['{"input": {"name": "a"}}', "input: a list was expected."],
  ['{"input": [null]}', "input[0]: an object was expected (ModelInput)."],
  ['{"metric_tags": ["a"]}', "metric_tags: an object was expected."],
  ['{"dynamic_batching": {"priority_queue_policy": {"x": {}}}}', 'dynamic_batching.priority_queue_policy: "x" is not uint64.'],
  ['{"input": [{"data_type": "FP32"}]}', 'input[0].data_type: "FP32" is not one of TYPE_INVALID, TYPE_BOOL, '],
])("%s is refused", (text, message) => {
  expect(() => modelConfigFromJson(text)).toThrow(
    expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(message) as string }),
  );
});

describe("whatever it gets, it answers with a configuration or with its own error", () => {
  const holds = (text: string) => {
    try {
      modelConfigFromJson(text);
    } catch (error) {
      expect(error).toBeInstanceOf(ServableError);
    }
  };

  test("random text, random JSON, and valid text with some of it changed", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), holds), { numRuns: sized(250, 1000) });
    fc.assert(fc.property(fc.json({ depthSize: "medium" }), holds), { numRuns: sized(250, 1000) });
    fc.assert(
      fc.property(anyConfig, fc.nat(), fc.nat({ max: 5 }), fc.string({ maxLength: 3 }), (config, at, cut, put) => {
        const text = modelConfigToJson(config);
        const place = at % (text.length + 1);
        holds(text.slice(0, place) + put + text.slice(place + cut));
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["nested lists", "[".repeat(4_000_000)],
    ["nested objects", '{"a":'.repeat(800_000)],
    ["a long number", `{"max_batch_size":${"1".repeat(4_000_000)}}`],
    ["a long string", `{"name":"${"a".repeat(4_000_000)}`],
    ["many members", `{${'"a":1,'.repeat(600_000)}"a":1}`],
  ])("%s, within seconds", (_what, text) => {
    const start = performance.now();
    holds(text);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

test("what reads JSON reads what JSON.parse reads", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), fc.nat({ max: 9 }), (names, indent) => {
      const tags = Object.fromEntries(names.filter((name) => !/\p{Surrogate}/u.test(name)).map((name) => [name, name]));
      const text = JSON.stringify({ metric_tags: tags }, null, indent);
      expect(modelConfigFromJson(text).metricTags ?? {}).toEqual(tags);
    }),
  );
});
