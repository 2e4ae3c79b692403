import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ModelConfig } from "../../src/triton/model-config.ts";
import { parseModelConfig } from "../../src/triton/parse-pbtxt.ts";
import { writeModelConfig } from "../../src/triton/write-pbtxt.ts";
import { anyConfig } from "./config-arbitrary.ts";

test("what is written reads back as it was, and writes as it was", () => {
  fc.assert(
    fc.property(anyConfig, (config) => {
      const text = writeModelConfig(config);
      const read = parseModelConfig(text);
      expect(isDeepStrictEqual(read, config), text).toBe(true);
      expect(writeModelConfig(read)).toBe(text);
    }),
    { numRuns: 500 },
  );
});

test("the text is what people write", () => {
  const config: ModelConfig = {
    name: "mlp",
    backend: "onnxruntime",
    maxBatchSize: 8,
    input: [{ name: "x", dataType: "TYPE_FP32", dims: [-1, 16], reshape: { shape: [] } }],
    output: [{ name: 'y "quoted"', dataType: "TYPE_FP32", dims: [10] }],
    versionPolicy: { all: {} },
    dynamicBatching: { priorityQueuePolicy: { 10: { timeoutAction: "DELAY" }, 9: {} } },
    parameters: { b: { stringValue: "1" }, a: { stringValue: "日\n\x01" } },
    instanceGroup: [],
    metricTags: {},
  };
  expect(writeModelConfig(config)).toBe(`name: "mlp"
backend: "onnxruntime"
version_policy {
  all {
  }
}
max_batch_size: 8
input {
  name: "x"
  data_type: TYPE_FP32
  dims: [ -1, 16 ]
  reshape {
  }
}
output {
  name: "y \\"quoted\\""
  data_type: TYPE_FP32
  dims: [ 10 ]
}
dynamic_batching {
  priority_queue_policy {
    key: 9
    value {
    }
  }
  priority_queue_policy {
    key: 10
    value {
      timeout_action: DELAY
    }
  }
}
parameters {
  key: "a"
  value {
    string_value: "日\\n\\001"
  }
}
parameters {
  key: "b"
  value {
    string_value: "1"
  }
}
`);
});

test.each<[string, ModelConfig, string]>([
  ["a number out of range", { maxBatchSize: 2 ** 31 }, "max_batch_size: 2147483648 is not int32."],
  ["no whole number", { input: [{}, { dims: [1, 1.5] }] }, "input[1].dims[1]: 1.5 is not int64."],
  ["half a surrogate pair", { name: "a\ud800" }, "name: 'a\ud800' is not string."],
  [
    "two of a oneof",
    { dynamicBatching: {}, ensembleScheduling: {} },
    "ensemble_scheduling: it and 'dynamic_batching' exclude each other (scheduling_choice).",
  ],
  [
    "a key that is no number",
    { dynamicBatching: { priorityQueuePolicy: { "1x": {} } } },
    "dynamic_batching.priority_queue_policy: '1x' is no uint64, which its keys are.",
  ],
])("%s is refused", (_what, config, message) => {
  expect(() => writeModelConfig(config)).toThrow(expect.objectContaining({ code: "invalid_config", message }));
});
