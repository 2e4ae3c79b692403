import { describe, expect, test } from "vitest";
import { formatPath } from "../../src/errors.ts";
import { parseModelConfig } from "../../src/triton/parse-pbtxt.ts";
import { completeModelConfig, type CompleteOptions } from "../../src/triton/rules/complete.ts";
import { withConfigDefaults } from "../../src/triton/rules/defaults.ts";
import type { ModelTensor, ModelTensors } from "../../src/triton/rules/model-tensors.ts";
import { modelConfigToJson } from "../../src/triton/config-to-json.ts";

const tensor = (name: string, shape: ModelTensor["shape"], dataType: ModelTensor["dataType"] = "FP32"): ModelTensor => ({
  name,
  dataType,
  shape,
});
const model = (inputs: ModelTensor[], outputs: ModelTensor[]): ModelTensors => ({ inputs, outputs });

function complete(text: string, of: ModelTensors, options: Partial<CompleteOptions> = {}) {
  const { config, problems } = completeModelConfig(parseModelConfig(text), of, { name: "m", ...options });
  return { config, problems: problems.map(({ path, message }) => `${formatPath(path)}: ${message}`) };
}

const batchable = model([tensor("x", ["batch", 4])], [tensor("y", ["batch", "n"], "INT64"), tensor("z", [-1], "BYTES")]);

describe("a configuration without inputs or outputs", () => {
  test("of a model that can be batched", () => {
    expect(complete("", batchable)).toEqual({
      config: {
        maxBatchSize: 4,
        dynamicBatching: {},
        input: [{ name: "x", dataType: "TYPE_FP32", dims: [4] }],
        output: [
          { name: "y", dataType: "TYPE_INT64", dims: [-1] },
          { name: "z", dataType: "TYPE_STRING", dims: [1], reshape: { shape: [] } },
        ],
      },
      problems: [],
    });
  });

  test("a scheduler that is given stays, and so does max_batch_size", () => {
    expect(complete("max_batch_size: 16 sequence_batching { }", batchable).config).toMatchObject({
      maxBatchSize: 16,
      sequenceBatching: {},
    });
    expect(complete("sequence_batching { }", batchable).config.dynamicBatching).toBeUndefined();
    expect(complete("max_batch_size: 1", batchable).config.dynamicBatching).toBeUndefined();
  });

  test("default-max-batch-size", () => {
    expect(complete("", batchable, { defaultMaxBatchSize: 32 }).config).toMatchObject({ maxBatchSize: 32, dynamicBatching: {} });
    expect(complete("", batchable, { defaultMaxBatchSize: 1 }).config.dynamicBatching).toBeUndefined();
    const none = complete("", batchable, { defaultMaxBatchSize: 0 });
    expect(none.config).toMatchObject({ maxBatchSize: 0, input: [{ dims: [-1, 4] }], output: [{ dims: [-1, -1] }, { dims: [-1] }] });
    expect(none.problems).toEqual([]);
  });

  test.each([
    ["an input with a first dimension of its own", model([tensor("x", [1, 4])], [tensor("y", [-1])]), [1, 4]],
    ["an output with one", model([tensor("x", [-1, 4])], [tensor("y", [3])]), [-1, 4]],
    ["a scalar", model([tensor("x", [])], [tensor("y", [-1])]), [1]],
  ])("%s: no batches", (_what, of, dims) => {
    const { config, problems } = complete("", of);
    expect(config.maxBatchSize).toBe(0);
    expect(config.dynamicBatching).toBeUndefined();
    expect(config.input).toEqual([{ name: "x", dataType: "TYPE_FP32", dims }]);
    expect(problems).toEqual([]);
    expect(complete("max_batch_size: 2", of).problems).toEqual([
      "max_batch_size: autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified",
    ]);
  });

  test("only what is missing is filled", () => {
    const { config, problems } = complete('input { name: "x" data_type: TYPE_FP32 dims: 4 }', batchable);
    expect(config.input).toEqual([{ name: "x", dataType: "TYPE_FP32", dims: [4] }]);
    expect(config.output).toHaveLength(2);
    expect(problems).toEqual([]);
  });

  test("inputs that the server makes are not asked of requests", () => {
    const of = model(
      [tensor("x", [-1, 4]), tensor("start", [-1, 1]), tensor("state", [-1, 2])],
      [tensor("y", [-1, 1]), tensor("next", [-1, 2])],
    );
    const { config, problems } = complete(
      'sequence_batching { control_input { name: "start" } state { input_name: "state" output_name: "next" } }',
      of,
    );
    expect([config.input?.map(({ name }) => name), config.output?.map(({ name }) => name), problems]).toEqual([["x"], ["y"], []]);
  });

  test("nothing is filled where that is switched off", () => {
    const { config, problems } = complete("", batchable, { autoComplete: false });
    expect(config).toEqual({});
    expect(problems).toEqual([
      "input: the model has an input 'x', which is not configured",
      "output: none is configured, and the model has y, z",
    ]);
  });
});

describe("a configuration beside its model", () => {
  const explicit = (input: string, output: string, max = 8) =>
    `max_batch_size: ${max} input { name: "x" data_type: TYPE_FP32 ${input} } output { name: "y" data_type: TYPE_FP32 ${output} }`;
  const open = model([tensor("x", [-1, -1, 4])], [tensor("y", [-1, -1])]);

  test.each([
    ["the same", explicit("dims: [-1, 4]", "dims: -1"), open],
    ["an input that asks for a length", explicit("dims: [7, 4]", "dims: -1"), open],
    ["without batches", explicit("dims: [2, -1, 4]", "dims: [-1, -1]", 0), open],
    ["a reshape", explicit("dims: [2, 2] reshape { shape: [1, 4] }", "dims: -1"), open],
    ["a scalar", explicit("dims: 1", "dims: 1", 0), model([tensor("x", [])], [tensor("y", [])])],
    ["a ragged input", explicit("dims: -1 allow_ragged_batch: true", "dims: -1"), model([tensor("x", [-1])], [tensor("y", [-1, -1])])],
    [
      "fewer outputs than there are",
      explicit("dims: 4", "dims: 2"),
      model([tensor("x", [-1, 4])], [tensor("y", [-1, 2]), tensor("z", [1])]),
    ],
  ])("%s goes", (_what, text, of) => {
    expect(complete(text, of).problems).toEqual([]);
  });

  test.each([
    [
      "an output that asks for a length",
      explicit("dims: [-1, 4]", "dims: 2"),
      open,
      "output[0].dims: it is [-1, 2] with the batch's axis, and the model's is [-1, -1]; outputs must be the same",
    ],
    [
      "another length",
      explicit("dims: [-1, 5]", "dims: -1"),
      open,
      "input[0].dims: it is [-1, -1, 5] with the batch's axis, and the model's is [-1, -1, 4]",
    ],
    [
      "another rank",
      explicit("dims: 4", "dims: -1"),
      open,
      "input[0].dims: it is [-1, 4] with the batch's axis, and the model's is [-1, -1, 4]",
    ],
    [
      "the batch's axis within dims",
      explicit("dims: [-1, -1, 4]", "dims: -1"),
      open,
      "input[0].dims: it is [-1, -1, -1, 4] with the batch's axis, and the model's is [-1, -1, 4]",
    ],
    [
      "batches of a model that has none",
      explicit("dims: 4", "dims: -1"),
      model([tensor("x", [1, 4])], [tensor("y", [-1, -1])]),
      "input[0].dims: with max_batch_size above 0 the model's first dimension must be of any length (-1), and it is [1, 4]",
    ],
    [
      "another type",
      explicit("dims: [-1, 4]", "dims: -1"),
      model([tensor("x", [-1, -1, 4], "FP16")], open.outputs.slice()),
      "input[0].data_type: it is TYPE_FP32, and the model's is TYPE_FP16",
    ],
    [
      "another name",
      explicit("dims: [-1, 4]", "dims: -1"),
      model([tensor("a", [-1, -1, 4])], [tensor("b", [-1])]),
      "input: the model has an input 'a', which is not configured",
      "input[0].name: the model has no input 'x'; it has a",
      "output[0].name: the model has no output 'y'; it has b",
    ],
    [
      "an optional input that is none",
      explicit("dims: [-1, 4] optional: true", "dims: -1"),
      open,
      "input[0].optional: the model can't run without 'x'",
    ],
    [
      "a ragged input of more dimensions",
      explicit("dims: [-1, 4] allow_ragged_batch: true", "dims: -1"),
      open,
      "input[0].allow_ragged_batch: the model's input must be exactly [-1], and is [-1, -1, 4]",
    ],
  ])("%s does not", (_what, text, of, ...problems) => {
    expect(complete(text, of).problems).toEqual(problems);
  });

  test("an initializer may be overridden by an optional input", () => {
    const of = { ...open, overridable: [tensor("bias", [4])] };
    const bias = (text: string) =>
      `${explicit("dims: [-1, -1, 4]", "dims: [-1, -1]", 0)} input { name: "bias" data_type: TYPE_FP32 dims: 4 ${text} }`;
    expect(complete(bias("optional: true"), of).problems).toEqual([]);
    expect(complete(bias(""), of).problems).toEqual(["input[1].optional: 'bias' is an initializer of the model, so it must be optional"]);
  });
});

describe("defaults", () => {
  test("of an ONNX model that says nothing", () => {
    const { config } = complete("", batchable);
    expect(withConfigDefaults(config, { name: "m", files: ["model.onnx"] })).toMatchObject({
      name: "m",
      backend: "onnxruntime",
      platform: "onnxruntime_onnx",
      defaultModelFilename: "model.onnx",
      versionPolicy: { latest: { numVersions: 1 } },
      dynamicBatching: { preferredBatchSize: [4] },
      instanceGroup: [{ name: "m", kind: "KIND_CPU", count: 2 }],
      optimization: { inputPinnedMemory: { enable: true }, outputPinnedMemory: { enable: true } },
    });
  });

  test.each([
    ["model.py", { backend: "python", platform: "", defaultModelFilename: "model.py" }],
    ["model.pt", { backend: "pytorch", platform: "pytorch_libtorch", defaultModelFilename: "model.pt" }],
    ["model.plan", { backend: "tensorrt", platform: "tensorrt_plan", defaultModelFilename: "model.plan" }],
    ["model.ts", { backend: "typescript", platform: "", defaultModelFilename: "model.ts" }],
    ["model.js", { backend: "typescript", platform: "", defaultModelFilename: "model.js" }],
  ])("%s in a version's folder", (file, expected) => {
    expect(withConfigDefaults({}, { name: "m", files: [file] })).toMatchObject(expected);
  });

  test("groups: names, kinds and counts that are left open", () => {
    const groups = (text: string, gpus: number[] = []) => withConfigDefaults(parseModelConfig(text), { name: "m", gpus }).instanceGroup;
    expect(groups('backend: "python" instance_group [ { }, { name: "n" count: 3 }, { kind: KIND_MODEL } ]')).toEqual([
      { name: "m_0", kind: "KIND_CPU", count: 1 },
      { name: "n", kind: "KIND_CPU", count: 3 },
      { name: "m_2", kind: "KIND_MODEL", count: 1 },
    ]);
    expect(groups('backend: "onnxruntime" instance_group [ { }, { gpus: 7 } ]', [0, 1])).toEqual([
      { name: "m_0", kind: "KIND_GPU", count: 1, gpus: [0, 1] },
      { name: "m_1", kind: "KIND_CPU", count: 2, gpus: [7] },
    ]);
  });

  test("sequences, and what is given stays", () => {
    const text =
      'backend: "b" max_batch_size: 4 sequence_batching { oldest { } } version_policy { all { } } optimization { input_pinned_memory { } }';
    expect(withConfigDefaults(parseModelConfig(text), { name: "m" })).toMatchObject({
      sequenceBatching: { maxSequenceIdleMicroseconds: 1_000_000, oldest: { preferredBatchSize: [4] } },
      versionPolicy: { all: {} },
      optimization: { inputPinnedMemory: {}, outputPinnedMemory: { enable: true } },
    });
  });

  test("an ensemble gets only a name and a version policy", () => {
    const config = withConfigDefaults(parseModelConfig('platform: "ensemble" ensemble_scheduling { }'), { name: "e" });
    expect(config).toEqual({ name: "e", platform: "ensemble", ensembleScheduling: {}, versionPolicy: { latest: { numVersions: 1 } } });
  });

  test("what is filled twice is filled once, and can be printed", () => {
    const facts = { name: "m", files: ["model.onnx"] };
    const once = withConfigDefaults(complete("", batchable).config, facts);
    expect(withConfigDefaults(once, facts)).toEqual(once);
    expect(JSON.parse(modelConfigToJson(once))).toMatchObject({ backend: "onnxruntime", max_batch_size: 4 });
  });
});
