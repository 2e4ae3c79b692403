import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  EnrichedTensor,
  ToProtobufText,
  TritonModelConfig,
  TritonTensor,
  dataTypeOfTriton,
  parseModelConfig,
  tritonConfigPytorchModel,
  tritonConfigTensorflowModel,
  tritonTypeOf,
  type TensorDataType,
  type TensorFormat,
} from "../../src/triton.ts";
import { dataTypes } from "../../src/tensor/data-type.ts";

describe("a tensor", () => {
  test("as text", () => {
    const image = new EnrichedTensor("TYPE_FP32", "FORMAT_NCHW", [3, -1, 224]);
    expect(image).toBeInstanceOf(ToProtobufText);
    expect(image.asPbtext()).toBe("data_type: TYPE_FP32\nformat: FORMAT_NCHW\ndims: [ 3, -1, 224 ]\n");
    const named = new TritonTensor("x", "TYPE_STRING", "FORMAT_NONE", [1]);
    expect(named).toBeInstanceOf(EnrichedTensor);
    expect(named.asPbtext()).toBe('name: "x"\ndata_type: TYPE_STRING\ndims: [ 1 ]\n');
    expect(parseModelConfig(`input { ${named.asPbtext()} }`).input).toEqual([named.asInput()]);
  });

  test("is what it was made of, whatever becomes of the list", () => {
    const dims = [1, 2];
    const tensor = new EnrichedTensor("TYPE_BOOL", "FORMAT_NONE", dims);
    dims.push(3);
    expect(tensor.dims).toEqual([1, 2]);
  });

  test.each<[string, string, number[], string]>([
    ["TYPE_FP32", "FORMAT_NONE", [], "dims must have at least one dimension"],
    ["TYPE_FP32", "FORMAT_NONE", [3, 0], "dims must each be a whole number of 1 or more, or -1 for any length, not 0"],
    ["TYPE_FP32", "FORMAT_NONE", [1.5], "not 1.5"],
    ["TYPE_FP32", "FORMAT_NONE", [NaN], "not NaN"],
    ["TYPE_FP32", "FORMAT_NHWC", [3, 4], "format FORMAT_NHWC needs 3 dims, and there are 2"],
    ["TYPE_FP32", "NHWC", [3], 'format must be one of FORMAT_NONE, FORMAT_NHWC, FORMAT_NCHW, not "NHWC"'],
    ["TYPE_INVALID", "FORMAT_NONE", [1], "dataType must be one of TYPE_BOOL,"],
    ["FP32", "FORMAT_NONE", [1], 'not "FP32"'],
    ["toString", "FORMAT_NONE", [1], 'not "toString"'],
  ])("%s, %s, %j is impossible", (dataType, format, dims, message) => {
    expect(() => new EnrichedTensor(dataType as TensorDataType, format as TensorFormat, dims)).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(message) as string }),
    );
  });

  test("needs a name to be an input or output", () => {
    expect(() => new TritonTensor("", "TYPE_FP32", "FORMAT_NONE", [1])).toThrow("name must be given");
  });
});

describe("a configuration", () => {
  const x = new TritonTensor("x", "TYPE_FP32", "FORMAT_NCHW", [3, 8, 8]);
  const y = new TritonTensor("y", "TYPE_INT64", "FORMAT_NONE", [-1]);

  test("of the usual fields", () => {
    const config = new TritonModelConfig({
      name: "m",
      platform: "onnxruntime_onnx",
      backend: "onnxruntime",
      maxBatchSize: 4,
      dynamicBatching: true,
      inputs: [x],
      outputs: [y],
    });
    const text = `name: "m"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 4
input {
  name: "x"
  data_type: TYPE_FP32
  format: FORMAT_NCHW
  dims: [ 3, 8, 8 ]
}
output {
  name: "y"
  data_type: TYPE_INT64
  dims: [ -1 ]
}
dynamic_batching {
}
`;
    expect(config.asPbtext()).toBe(text);
    expect(TritonModelConfig.parsePbtext(text).asPbtext()).toBe(text);
    expect(TritonModelConfig.parsePbtext(text).config).toEqual(config.config);
  });

  test("of every other field, and without batching", () => {
    const config = new TritonModelConfig({ name: "m", backend: "b", dynamicBatching: false, parameters: { a: { stringValue: "1" } } });
    expect(config.config).toEqual({ name: "m", backend: "b", parameters: { a: { stringValue: "1" } } });
  });

  test("that leaves everything to Triton", () => {
    expect(new TritonModelConfig({ name: "m" }).asPbtext()).toBe('name: "m"\n');
    expect(TritonModelConfig.parsePbtext("max_batch_size: 2", "m").name).toBe("m");
  });

  test("a GPU may be asked for where none is", () => {
    const config = new TritonModelConfig({ name: "m", backend: "b", instanceGroup: [{ kind: "KIND_GPU", gpus: [3] }] });
    expect(config.asPbtext()).toContain("gpus: [ 3 ]");
  });

  test("that is wrong tells every field", () => {
    const wrong = () => new TritonModelConfig({ name: "m", backend: "b", maxBatchSize: -1, inputs: [{ name: "x", dims: [0] }] });
    expect(wrong).toThrow(
      expect.objectContaining({
        code: "invalid_config",
        message:
          "The configuration of model 'm' is wrong: max_batch_size: it must be 0 or more, not -1; input[0].data_type: it must be given; " +
          "input[0].dims: each must be 1 or more, or -1 for any length.",
      }),
    );
    expect(() => TritonModelConfig.parsePbtext("name: 'm'\nfoo: 1")).toThrow("line 2, column 1: ModelConfig has no field 'foo'");
    // What plain JavaScript might pass.
    expect(() => new TritonModelConfig({ name: "m", maxBatchSize: "4" as unknown as number })).toThrow("max_batch_size: '4' is not int32.");
  });

  test("whatever tensors it is made of, they come back", () => {
    const tensors = fc.uniqueArray(
      fc.tuple(
        fc.string({ unit: "grapheme", minLength: 1, maxLength: 9 }),
        fc.constantFrom(...dataTypes),
        fc.array(fc.oneof(fc.constant(-1), fc.integer({ min: 1 })), { minLength: 1, maxLength: 5 }),
      ),
      { selector: ([name]) => name, minLength: 1 },
    );
    fc.assert(
      fc.property(tensors, tensors, (inputs, outputs) => {
        const made = (list: typeof inputs) =>
          list.map(
            ([name, dataType, dims]) =>
              new TritonTensor(name, tritonTypeOf(dataType), dims.length === 3 ? "FORMAT_NHWC" : "FORMAT_NONE", dims),
          );
        const config = new TritonModelConfig({ name: "m", backend: "b", inputs: made(inputs), outputs: made(outputs) });
        expect(TritonModelConfig.parsePbtext(config.asPbtext()).config).toEqual(config.config);
      }),
    );
  });
});

test("a PyTorch model's tensors are named by their place", () => {
  const image = new EnrichedTensor("TYPE_FP32", "FORMAT_NCHW", [3, 8, 8]);
  const scores = new EnrichedTensor("TYPE_FP32", "FORMAT_NONE", [10]);
  const { config } = tritonConfigPytorchModel({ name: "m", maxBatchSize: 8, inputs: [image, image], outputs: [scores, scores] });
  expect(config).toEqual({
    name: "m",
    backend: "pytorch",
    platform: "pytorch_libtorch",
    maxBatchSize: 8,
    input: ["input__0", "input__1"].map((name) => ({ name, dataType: "TYPE_FP32", format: "FORMAT_NCHW", dims: [3, 8, 8] })),
    output: ["output__0", "output__1"].map((name) => ({ name, dataType: "TYPE_FP32", dims: [10] })),
  });
});

test("a TensorFlow model, as it was saved", () => {
  const x = new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [4]);
  expect(tritonConfigTensorflowModel({ name: "m", inputs: [x], outputs: [x] }).config).toMatchObject({
    backend: "tensorflow",
    platform: "tensorflow_savedmodel",
    input: [{ name: "x" }],
  });
  const graph = tritonConfigTensorflowModel({ name: "m", platform: "tensorflow_graphdef", inputs: [x], outputs: [x] });
  expect(graph.config.platform).toBe("tensorflow_graphdef");
});

test("every data type of the wire has a name in configurations, and back", () => {
  for (const dataType of dataTypes) expect(dataTypeOfTriton(tritonTypeOf(dataType))).toBe(dataType);
  expect(dataTypeOfTriton("TYPE_INVALID")).toBeUndefined();
  expect([tritonTypeOf("BYTES"), tritonTypeOf("BF16")]).toEqual(["TYPE_STRING", "TYPE_BF16"]);
});
