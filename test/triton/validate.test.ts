import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatPath } from "../../src/errors.ts";
import { parseModelConfig } from "../../src/triton/parse-pbtxt.ts";
import { withConfigDefaults } from "../../src/triton/rules/defaults.ts";
import type { ConfigFacts } from "../../src/triton/rules/problem.ts";
import { validateModelConfig } from "../../src/triton/rules/validate.ts";
import { anyConfig } from "./config-arbitrary.ts";

const facts: ConfigFacts = { name: "m", gpus: [], files: [] };
const io = (max = 8) => `backend: "onnxruntime" max_batch_size: ${max}
  input { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }
  output { name: "y" data_type: TYPE_FP32 dims: 4 }`;

/** The problems of a config.pbtxt, once filled, one a line. */
function problemsOf(text: string, by: ConfigFacts = facts): string[] {
  const config = withConfigDefaults(parseModelConfig(text), by);
  return validateModelConfig(config, by).map(({ path, message }) => `${formatPath(path)}: ${message}`);
}

test.each([
  ["the least", 'platform: "onnxruntime_onnx"'],
  ["its own name", `name: "m" ${io()}`],
  ["a scalar", 'backend: "b" max_batch_size: 1 input { name: "x" data_type: TYPE_STRING dims: 1 reshape { } }'],
  ["a reshape", 'backend: "b" input { name: "x" data_type: TYPE_STRING dims: [2, 4, -1, 6] reshape { shape: [8, -1, 1, 6] } }'],
  ["an image", 'backend: "b" input { name: "x" data_type: TYPE_UINT8 format: FORMAT_NCHW dims: [3, -1, -1] }'],
  [
    "dynamic batching",
    `${io()} dynamic_batching { preferred_batch_size: [1, 8] preserve_ordering: true priority_levels: 1 default_priority_level: 1 }`,
  ],
  ["dynamic batching without batches", `${io(0)} dynamic_batching { }`],
  [
    "priorities",
    `${io()} dynamic_batching { priority_levels: 3 default_priority_level: 2 priority_queue_policy { key: 3 value { timeout_action: DELAY } } }`,
  ],
  ["a python model of any platform", 'backend: "python" platform: "mine"'],
  [
    "a sequence",
    `${io()} sequence_batching { oldest { max_candidate_sequences: 4 } control_input { name: "S" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } }
     control_input { name: "I" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } }
     state { input_name: "a" output_name: "b" data_type: TYPE_FP32 dims: -1 initial_state { name: "z" data_type: TYPE_FP32 dims: 3 zero_data: true } } }`,
  ],
  [
    "batch inputs",
    `${io()} batch_input { kind: BATCH_ITEM_SHAPE target_name: "t" data_type: TYPE_INT32 source_input: "x" } batch_output { target_name: "y" source_input: "x" }`,
  ],
  [
    "a warm-up",
    `${io()} model_warmup { batch_size: 8 inputs { key: "x" value { data_type: TYPE_FP32 dims: [7, 4] random_data: true } } } model_warmup { }`,
  ],
  ["an instance group", `${io()} instance_group [ { count: 3 kind: KIND_CPU }, { kind: KIND_MODEL } ]`],
])("%s is right", (_what, text) => {
  expect(problemsOf(text)).toEqual([]);
});

const tensor = (text: string) => `backend: "b" max_batch_size: 2 input { name: "x" data_type: TYPE_FP32 dims: 4 ${text} }`;
const sequence = (text: string) => `${io()} sequence_batching { ${text} }`;

test.each([
  ['name: "n" backend: "b"', "name: 'n' is not the name of the model's folder, 'm'"],
  ["", "backend: it must be given (or platform)"],
  ['platform: "x"', "backend: it must be given; the platform 'x' tells none"],
  [
    'backend: "onnxruntime" platform: "tensorrt_plan"',
    "platform: 'tensorrt_plan' does not go with the backend 'onnxruntime', but 'onnxruntime_onnx' does",
  ],
  ['backend: "b" max_batch_size: -1', "max_batch_size: it must be 0 or more, not -1"],
  ['backend: "b" version_policy { latest { } }', "version_policy.latest.num_versions: it must be 1 or more, else no version is served"],
  [
    'backend: "b" version_policy { specific { versions: [1, 0, 1] } }',
    "version_policy.specific.versions: versions are numbers from 1 up",
    "version_policy.specific.versions: 1 is there more than once",
  ],
  [
    'backend: "b" version_policy { specific { } }',
    "version_policy.specific.versions: at least one must be given, else no version is served",
  ],
  [
    'backend: "b" input { } output { }',
    "input[0].name: it must be given",
    "input[0].data_type: it must be given",
    "input[0].dims: at least one dimension must be given (for a scalar: [ 1 ] and an empty reshape)",
    "output[0].name: it must be given",
    "output[0].data_type: it must be given",
    "output[0].dims: at least one dimension must be given (for a scalar: [ 1 ] and an empty reshape)",
  ],
  [tensor("dims: 0"), "input[0].dims: each must be 1 or more, or -1 for any length"],
  [tensor("dims: -2"), "input[0].dims: each must be 1 or more, or -1 for any length"],
  [tensor("format: FORMAT_NHWC"), "input[0].format: FORMAT_NHWC needs 3 'dims', which has 1"],
  [tensor("reshape { shape: [2, 3] }"), "input[0].reshape.shape: it holds another number of elements than 'dims'"],
  [tensor("reshape { }"), "input[0].reshape.shape: it holds another number of elements than 'dims'"],
  [tensor("reshape { shape: [0, 4] }"), "input[0].reshape.shape: each must be 1 or more, or -1 for any length"],
  [tensor("reshape { shape: [4, -1] }"), "input[0].reshape.shape: it has another number of variable dimensions (-1) than 'dims'"],
  [tensor("dims: [-1, 6] reshape { shape: [2, -1, 12] }"), "input[0].reshape.shape: it holds another number of elements than 'dims'"],
  [
    tensor("dims: [9007199254740991, 9007199254740991] reshape { shape: [4, 9007199254740991, 9007199254740991] }"),
    "input[0].dims: there are more elements than 64 bits can count",
  ],
  [tensor("is_shape_tensor: true"), "input[0].is_shape_tensor: only models of the platform tensorrt_plan have shape tensors"],
  [
    tensor("is_non_linear_format_io: true"),
    "input[0].is_non_linear_format_io: only models of the platform tensorrt_plan have such formats",
  ],
  [
    'backend: "b" input { name: "x" data_type: TYPE_FP32 dims: 1 reshape { } }',
    "input[0].reshape: it may be empty only where max_batch_size is above 0",
  ],
  [`${io()} input { name: "x" data_type: TYPE_FP32 dims: 1 }`, "input: 'x' is there more than once"],
  [
    `${io()} input { name: "o" data_type: TYPE_FP32 dims: 1 optional: true }`,
    "input[1].optional: an ONNX model takes optional inputs only with max_batch_size 0",
  ],
  ...["../labels.txt", "/etc/passwd", "a/../../b", "C:\\\\x", "a\\000"].map((file) => [
    `backend: "b" output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "${file}" }`,
    `output[0].label_filename: '${file.replace("\\\\", "\\").replace("\\000", "\0")}' must be a relative path that stays in the model's folder`,
  ]),
  [
    `${io()} dynamic_batching { preferred_batch_size: [0, 9] }`,
    "dynamic_batching.preferred_batch_size: 0 must be 1 or more",
    "dynamic_batching.preferred_batch_size: 9 is more than max_batch_size, which is 8",
  ],
  [
    `${io(0)} dynamic_batching { preferred_batch_size: 1 }`,
    "dynamic_batching.preferred_batch_size: 1 is more than max_batch_size, which is 0",
  ],
  [
    `${io()} dynamic_batching { priority_levels: 2 }`,
    "dynamic_batching.default_priority_level: it must be from 1 to 2 (priority_levels), not 0",
  ],
  [
    `${io()} dynamic_batching { priority_levels: 2 default_priority_level: 3 priority_queue_policy { key: 0 } priority_queue_policy { key: 3 } }`,
    "dynamic_batching.default_priority_level: it must be from 1 to 2 (priority_levels), not 3",
    'dynamic_batching.priority_queue_policy["0"]: levels are from 1 to 2 (priority_levels)',
    'dynamic_batching.priority_queue_policy["3"]: levels are from 1 to 2 (priority_levels)',
  ],
  [
    `${io()} dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }`,
    "dynamic_batching.preserve_ordering: it goes with one priority level only, and priority_levels is 2",
  ],
  [
    `${io()} dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 } }`,
    "dynamic_batching.default_queue_policy.timeout_action: DELAY with a timeout does not go with preserve_ordering",
  ],
  [
    `${io()} response_cache { enable: true } model_transaction_policy { decoupled: true }`,
    "response_cache.enable: a model with decoupled responses can't have a response cache",
  ],
  [sequence("") + " response_cache { enable: true }", "response_cache.enable: a model with sequence_batching can't have a response cache"],
  [
    sequence("direct { minimum_slot_utilization: 1.5 }"),
    "sequence_batching.direct.minimum_slot_utilization: it must be from 0 to 1, not 1.5",
  ],
  [
    sequence("direct { minimum_slot_utilization: nan }"),
    "sequence_batching.direct.minimum_slot_utilization: it must be from 0 to 1, not NaN",
  ],
  [
    sequence("oldest { preferred_batch_size: 9 }"),
    "sequence_batching.oldest.preferred_batch_size: 9 is more than max_batch_size, which is 8",
  ],
  [sequence("control_input { control { int32_false_true: [0, 1] } }"), "sequence_batching.control_input[0].name: it must be given"],
  [
    sequence("control_input { name: 'S' control { } }"),
    "sequence_batching.control_input[0].control[0]: CONTROL_SEQUENCE_START needs one of int32_false_true, fp32_false_true, bool_false_true, not 0",
  ],
  [
    sequence("control_input { name: 'S' control { int32_false_true: 0 } }"),
    "sequence_batching.control_input[0].control[0].int32_false_true: it has exactly 2 values, for false and for true, not 1",
  ],
  [
    sequence("control_input { name: 'S' control { int32_false_true: [0, 1] bool_false_true: [false, true] } }"),
    "sequence_batching.control_input[0].control[0]: CONTROL_SEQUENCE_START needs one of int32_false_true, fp32_false_true, bool_false_true, not 2",
  ],
  [
    sequence("control_input { name: 'S' control { kind: 3 data_type: TYPE_FP32 } }"),
    "sequence_batching.control_input[0].control[0].data_type: CONTROL_SEQUENCE_CORRID is one of TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32, TYPE_STRING",
  ],
  [
    sequence(
      "control_input { name: 'S' control { kind: 2 int32_false_true: [0, 1] } } control_input { name: 'S' control { kind: 2 int32_false_true: [0, 1] } }",
    ),
    "sequence_batching.control_input: 'S' is there more than once",
    "sequence_batching.control_input: CONTROL_SEQUENCE_END is there more than once",
  ],
  [
    sequence("state { initial_state { dims: 1 } }"),
    "sequence_batching.state[0].input_name: it must be given",
    "sequence_batching.state[0].output_name: it must be given",
    "sequence_batching.state[0].data_type: it must be given",
    "sequence_batching.state[0].dims: it must be given, each 1 or more, or -1 for any length",
    "sequence_batching.state[0].initial_state[0].name: it must be given",
    "sequence_batching.state[0].initial_state[0].dims: the state has 0 dimensions, not 1",
    "sequence_batching.state[0].initial_state[0]: one of zero_data and data_file must be given",
  ],
  [
    `${io()} batch_input { data_type: TYPE_FP64 source_input: ["x", "z"] }`,
    "batch_input[0].source_input: BATCH_ELEMENT_COUNT takes exactly 1, not 2",
    "batch_input[0].source_input: there is no input 'z'",
    "batch_input[0].data_type: it must be TYPE_INT32 or TYPE_FP32",
    "batch_input[0].target_name: it must name an input of the model itself",
  ],
  [
    `${io()} batch_output { target_name: ["y", "y", "z"] source_input: "x" }`,
    "batch_output[0].target_name: there is no output 'z'",
    "batch_output[0].target_name: 'y' is there more than once",
  ],
  [`${io()} instance_group { kind: KIND_CPU gpus: 0 }`, "instance_group[0].gpus: KIND_CPU takes no GPUs"],
  [`${io()} instance_group { kind: KIND_MODEL gpus: 0 }`, "instance_group[0].gpus: KIND_MODEL takes no GPUs"],
  [`${io()} instance_group { kind: KIND_GPU }`, "instance_group[0].kind: KIND_GPU was asked for, and there is no GPU"],
  [`${io()} instance_group { profile: "1" }`, "instance_group[0].profile: only models of the platform tensorrt_plan have profiles"],
  [
    `${io()} model_warmup { batch_size: 9 inputs { key: "x" value { data_type: TYPE_FP16 dims: [-1, 5] } } inputs { key: "q" value { data_type: TYPE_FP16 dims: 1 input_data_file: "../f" } } }`,
    "model_warmup[0].batch_size: 9 is more than max_batch_size allows, which is 8",
    "model_warmup[0].inputs.q.input_data_file: '../f' must be a relative path that stays in the folder 'warmup'",
    "model_warmup[0].inputs.q: the model has no such input",
    "model_warmup[0].inputs.x: one of zero_data, random_data and input_data_file must be given",
    "model_warmup[0].inputs.x.dims: each must be 1 or more: a sample has a shape of its own",
    "model_warmup[0].inputs.x.data_type: it must be the input's, TYPE_FP32",
    "model_warmup[0].inputs.x.dims: [-1, 5] does not fit the input's dims, [-1, 4]",
  ],
  [`${io()} model_warmup { batch_size: 1 }`, "model_warmup[0].inputs: input 'x' is missing"],
  [
    `${io()} model_metrics { metric_control { } }`,
    "model_metrics.metric_control[0].metric_identifier.family: it must be given",
    "model_metrics.metric_control[0].histogram_options.buckets: at least one must be given",
  ],
])("%s", (text, ...problems) => {
  expect(problemsOf(text).sort()).toEqual([...problems].sort());
});

test("GPUs that are there, and one that is not", () => {
  const by: ConfigFacts = { name: "m", gpus: [0, 1] };
  expect(problemsOf(`${io()} instance_group { kind: KIND_GPU } instance_group { gpus: 1 }`, by)).toEqual([]);
  expect(problemsOf(`${io()} instance_group { kind: KIND_GPU gpus: 2 }`, by)).toEqual([
    "instance_group[0].gpus: there is no GPU 2; there are 0, 1",
  ]);
});

describe("ensembles", () => {
  const step = (model: string, inputs: string, outputs: string) =>
    `step { model_name: "${model}" model_version: -1 ${maps("input_map", inputs)} ${maps("output_map", outputs)} }`;
  const maps = (field: string, names: string) =>
    names
      .split(" ")
      .filter((name) => name !== "")
      .map((name, index) => `${field} { key: "T${index}" value: "${name}" }`)
      .join(" ");
  const ensemble = (steps: string, rest = "") => `platform: "ensemble" input { name: "in" data_type: TYPE_FP32 dims: 1 }
    output { name: "out" data_type: TYPE_FP32 dims: 1 } ensemble_scheduling { ${steps} } ${rest}`;

  test.each([
    ["one step", step("a", "in", "out")],
    ["in any order", step("b", "mid", "out") + step("a", "in", "mid")],
    ["a diamond", step("a", "in", "l r") + step("b", "l", "m") + step("c", "r m", "out")],
    ["an output that is read on", step("a", "in", "out") + step("b", "out", "more") + step("c", "more", "end")],
  ])("%s", (what, steps) => {
    const more = what.startsWith("an output") ? 'output { name: "end" data_type: TYPE_FP32 dims: 1 }' : "";
    expect(problemsOf(ensemble(steps, more))).toEqual([]);
  });

  test.each([
    ["no step", "", "ensemble_scheduling.step: at least one step must be given"],
    [
      "a step without anything",
      "step { }",
      "ensemble_scheduling.step[0].model_name: it must be given",
      "ensemble_scheduling.step[0].input_map: it must be given",
      "ensemble_scheduling.step[0].output_map: it must be given",
      "input[0]: no step reads 'in'",
      "output[0]: 'out' is never written",
    ],
    [
      "an input that nobody reads",
      step("a", "other", "out"),
      "input[0]: no step reads 'in'",
      "output[0]: 'out' is never written: 'other', which it depends on, is written by no step",
      "ensemble_scheduling: 'other' is read but never written",
    ],
    [
      "a tensor written twice",
      step("a", "in", "out") + step("b", "in", "out"),
      "ensemble_scheduling.step[1].output_map: 'out' is written more than once",
    ],
    [
      "an input that is written",
      step("a", "in", "out") + step("b", "out", "in"),
      "ensemble_scheduling.step[1].output_map: 'in' is an input of the ensemble, so no step may write it",
    ],
    ["a tensor that nobody reads", step("a", "in", "out mid"), "ensemble_scheduling: 'mid' is written but never read, and is no output"],
    [
      "a cycle",
      step("a", "in x", "y") + step("b", "y", "x out"),
      "output[0]: 'out' is never written: the steps that make it wait for each other ('y')",
      "ensemble_scheduling: 'x' is never written: the steps that make it wait for each other ('x')",
      "ensemble_scheduling: 'y' is never written: the steps that make it wait for each other ('y')",
    ],
    ["itself", step("m", "in", "out"), "ensemble_scheduling.step[0].model_name: an ensemble can't be a step of itself"],
  ])("%s", (_what, steps, ...problems) => {
    expect(problemsOf(ensemble(steps)).sort()).toEqual([...problems].sort());
  });

  test("what may not stand beside one", () => {
    const text = ensemble(step("a", "in", "out"), 'backend: "b" instance_group { } optimization { } model_warmup { batch_size: 1 }');
    expect(problemsOf(text)).toEqual([
      "backend: an ensemble has none",
      "instance_group: an ensemble has none",
      "optimization: an ensemble has none",
      "model_warmup: an ensemble has none",
    ]);
    expect(problemsOf('platform: "ensemble"')).toEqual(["ensemble_scheduling: it must be given where platform is 'ensemble'"]);
    expect(problemsOf('backend: "b" ensemble_scheduling { }')).toContain(
      "platform: it must be 'ensemble' where ensemble_scheduling is given",
    );
  });
});

test("any configuration is judged without a crash", () => {
  fc.assert(
    fc.property(anyConfig, (config) => {
      validateModelConfig(config, facts);
      validateModelConfig(withConfigDefaults(config, facts), facts);
    }),
    { numRuns: 500 },
  );
});
