import { readFile } from "node:fs/promises";
import { expect, expectTypeOf, test } from "vitest";
import {
  modelTypes,
  OpenInferenceClient,
  rankedTensor,
  Tensor,
  tensor,
  type InferResult,
  type ModelTypesSource,
} from "../../src/client.ts";
import type { Models } from "./open-inference-models.ts";

const metadata: readonly ModelTypesSource[] = [
  {
    name: "text-model",
    inputs: [{ name: "text", datatype: "BYTES", shape: [-1, 1] }],
    outputs: [{ name: "length", datatype: "INT64", shape: [-1] }],
  },
  {
    name: "mlp",
    inputs: [
      { name: "x", datatype: "FP32", shape: [-1, 64] },
      { name: "mask", datatype: "BOOL", shape: [64] },
    ],
    outputs: [
      { name: "y", datatype: "FP32", shape: [-1, 10] },
      { name: "half scores", datatype: "FP16", shape: [] },
    ],
    optionalInputs: ["mask"],
  },
];

test("the types that are written are those that the tests below compile against", async () => {
  expect(modelTypes(metadata)).toBe(await readFile(new URL("open-inference-models.ts", import.meta.url), "utf8"));
});

test("a data type that does not exist is refused", () => {
  const wrong = [{ name: "m", inputs: [{ name: "x", datatype: "FP7", shape: [] }], outputs: [] }];
  expect(() => modelTypes(wrong)).toThrow("'x' of the model 'm' is of FP7, which is no data type.");
});

// Compiled, never run: there is no such server.
const client = new OpenInferenceClient<Models>("http://127.0.0.1:1");
const data = new Float32Array(64);
const shape = [1, 64] as const;

export const compiled = {
  plain: () => client.infer("mlp", { x: { shape: [1, 64], data } }),
  withTensor: () => client.infer("mlp", { x: rankedTensor("FP32", [1, 64], data) }),
  withOptional: () => client.infer("mlp", { x: { shape, data }, mask: { dataType: "BOOL", shape: [64], data: new Uint8Array(64) } }),
  withUndefined: () => client.infer("mlp", { x: { shape, data }, mask: undefined }),
  oneOutput: () => client.infer("mlp", { x: { shape, data } }, { outputs: ["y"] }),
  classes: () => client.classify("mlp", { x: { shape, data } }, { y: 3 }),

  // @ts-expect-error -- no such model
  wrongModel: () => client.infer("mpl", { x: { shape, data } }),
  // @ts-expect-error -- no such model
  wrongModelReady: () => client.modelReady("mpl"),
  // @ts-expect-error -- no such input
  wrongInput: () => client.infer("mlp", { z: { shape, data } }),
  // @ts-expect-error -- x is missing
  missingInput: () => client.infer("mlp", {}),
  // @ts-expect-error -- x is of FP32
  wrongArray: () => client.infer("mlp", { x: { shape, data: new Float64Array(64) } }),
  // @ts-expect-error -- x is of FP32
  wrongDataType: () => client.infer("mlp", { x: rankedTensor("INT32", [1, 64], new Int32Array(64)) }),
  // @ts-expect-error -- x has two dimensions
  wrongRank: () => client.infer("mlp", { x: { shape: [64], data } }),
  // @ts-expect-error -- x has two dimensions
  wrongTensorRank: () => client.infer("mlp", { x: rankedTensor("FP32", [1, 1, 64], data) }),
  // @ts-expect-error -- nothing tells the rank of a plain tensor
  unknownRank: () => client.infer("mlp", { x: tensor("FP32", [1, 64], data) }),
  // @ts-expect-error -- an array of bytes does not tell that it is of BOOL
  ambiguous: () => client.infer("mlp", { x: { shape, data }, mask: { shape: [64], data: new Uint8Array(64) } }),
  // @ts-expect-error -- no such output
  wrongOutput: () => client.infer("mlp", { x: { shape, data } }, { outputs: ["z"] }),
  // @ts-expect-error -- no such output
  wrongClasses: () => client.classify("mlp", { x: { shape, data } }, { z: 3 }),
};

test("outputs have the types of their model, and only those that were asked for are there", () => {
  type All = Awaited<ReturnType<typeof compiled.plain>>["outputs"];
  expectTypeOf<keyof All>().toEqualTypeOf<"y" | "half scores">();
  expectTypeOf<All["y"]["data"]>().toEqualTypeOf<Float32Array>();
  expectTypeOf<All["y"]["shape"]["length"]>().toEqualTypeOf<2>();
  expectTypeOf<All["half scores"]["data"]>().toEqualTypeOf<Uint16Array>();
  type One = Awaited<ReturnType<typeof compiled.oneOutput>>["outputs"];
  expectTypeOf<keyof One>().toEqualTypeOf<"y">();
  type Classes = Awaited<ReturnType<typeof compiled.classes>>["outputs"];
  expectTypeOf<Classes["y"]["data"]>().toEqualTypeOf<readonly (string | Uint8Array)[]>();
});

test("without types any names and tensors are taken", () => {
  const any = new OpenInferenceClient("http://127.0.0.1:1");
  const call = (input: Tensor) => any.infer("whatever", { x: input, y: { shape: [1], data: ["a"] } });
  expectTypeOf<Awaited<ReturnType<typeof call>>>().toExtend<InferResult<Readonly<Record<string, Tensor>>>>();
});
