/** A model that gives the sum and the difference of rows, and the ways to it through a Triton. */
import { SpecsTritonModel, Tensor, TritonModel, TritonModelConfig, TritonTensor } from "servable/triton";
import { writeOnnx } from "./onnx-writer.ts";

const value = (name: string) => ({ name, dataType: "FP32", shape: ["n", 2] }) as const;
/** Its configuration. */
export const addSubConfig: TritonModelConfig = new TritonModelConfig({
  name: "add_sub",
  backend: "onnxruntime",
  maxBatchSize: 8,
  dynamicBatching: true,
  instanceGroup: [{ kind: "KIND_CPU", count: 1 }],
  inputs: [new TritonTensor("a", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("b", "TYPE_FP32", "FORMAT_NONE", [2])],
  outputs: [new TritonTensor("sum", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("difference", "TYPE_FP32", "FORMAT_NONE", [2])],
});

/** Its file: gives the sum and the difference of two rows. */
export const addSub: Uint8Array = writeOnnx({
  inputs: [value("a"), value("b")],
  outputs: [value("sum"), value("difference")],
  nodes: [
    { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    { op: "Sub", inputs: ["a", "b"], outputs: ["difference"] },
  ],
});

/** One row for each input, and what they come to. */
export const addSubExample = { a: Tensor.from("FP32", [[1, 2]]), b: Tensor.from("FP32", [[3, 5]]) };
export const addSubAnswer = { sum: [[4, 7]], difference: [[-2, -3]] };

/** All that a model in a server can be reached by. */
export const addSubModels = (url: () => string): Readonly<Record<string, () => Promise<TritonModel> | TritonModel>> => ({
  TritonModel: () => TritonModel.connect(url(), "add_sub"),
  "SpecsTritonModel, by the server's configuration": () => SpecsTritonModel.connect(url(), "add_sub"),
  "SpecsTritonModel, by a configuration": () => new SpecsTritonModel(url(), addSubConfig),
});

/** Asks a service that adds rows on this model many things at once. @returns its answers, which are to be `sums` */
export async function askForSums(url: string): Promise<unknown> {
  const ask = async (n: number): Promise<unknown> => {
    const body = JSON.stringify([
      [n, 2],
      [3, 4],
    ]);
    return (await fetch(`${url}/sums`, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
  };
  return Promise.all(sums.map((_, n) => ask(n)));
}
export const sums: readonly unknown[] = Array.from({ length: 20 }, (_, n) => [[n + 3, 6]]);
