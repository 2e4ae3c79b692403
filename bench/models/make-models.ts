/**
 * Makes the models that the bench serves, from fixed seeds: the same bytes everywhere. They lie in a folder that git ignores.
 *
 * usage: tsx bench/models/make-models.ts
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Tensor } from "../../src/tensor/tensor.ts";
import { writeOnnx, type NodeSpec } from "../../test/support/onnx-writer.ts";
import { randomFrom } from "./random.ts";

/** Models that the bench serves. */
export type ModelName = "mlp" | "heavy";

interface Recipe {
  readonly seed: number;
  /** Widths of the layers, from the input to the output. */
  readonly widths: readonly number[];
  readonly softmax: boolean;
}

const recipes: Readonly<Record<ModelName, Recipe>> = {
  // Bound by what a request costs around the model.
  mlp: { seed: 1, widths: [64, 256, 256, 10], softmax: true },
  // 68 MB of weights, bound by memory traffic: sixteen rows take little more than twice as long as one.
  heavy: { seed: 2, widths: [64, 2048, 2048, 2048, 2048, 2048, 10], softmax: false },
};
const folder = new URL("./.cache/", import.meta.url);

/** The path of a model's `.onnx` file, which is made where it is not there. Input `x` FP32 [batch, 64], output `y` FP32 [batch, 10]. */
export function modelFile(model: ModelName): string {
  const file = fileURLToPath(new URL(`./${model}.onnx`, folder));
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    // Under its own name only when it is whole.
    writeFileSync(`${file}.part`, network(recipes[model]));
    renameSync(`${file}.part`, file);
  }
  return file;
}

function network({ seed, widths, softmax }: Recipe): Uint8Array {
  const random = randomFrom(seed);
  const initializers: Record<string, Tensor> = {};
  const nodes: NodeSpec[] = [];
  let from = "x";
  for (const [index, width] of widths.slice(1).entries()) {
    const before = widths[index] ?? 0;
    const last = index === widths.length - 2;
    const result = last && !softmax ? "y" : `sum${index}`;
    // Of a size that keeps values near 1 through any number of layers.
    const spread = Math.sqrt((last ? 3 : 6) / before);
    initializers[`w${index}`] = uniform([before, width], spread, random);
    initializers[`b${index}`] = uniform([width], 0.1, random);
    nodes.push({ op: "Gemm", inputs: [from, `w${index}`, `b${index}`], outputs: [result] });
    if (!last) nodes.push({ op: "Relu", inputs: [result], outputs: [`relu${index}`] });
    else if (softmax) nodes.push({ op: "Softmax", inputs: [result], outputs: ["y"], attributes: { axis: 1 } });
    from = `relu${index}`;
  }
  return writeOnnx({
    inputs: [{ name: "x", dataType: "FP32", shape: ["batch", widths[0] ?? 0] }],
    outputs: [{ name: "y", dataType: "FP32", shape: ["batch", widths.at(-1) ?? 0] }],
    nodes,
    initializers,
  });
}

function uniform(shape: readonly number[], spread: number, random: () => number): Tensor {
  const data = new Float32Array(shape.reduce((product, length) => product * length, 1));
  for (let index = 0; index < data.length; index++) data[index] = (random() * 2 - 1) * spread;
  return new Tensor("FP32", [...shape], data);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const model of ["mlp", "heavy"] as const) process.stdout.write(`${modelFile(model)}\n`);
}
