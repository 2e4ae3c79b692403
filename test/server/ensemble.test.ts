/** Graphs of models. */
import { describe, expect, test } from "vitest";
import type { InferRequest } from "servable/server";
import { Tensor } from "../../src/tensor/tensor.ts";
import { writeOnnx } from "../support/onnx-writer.ts";
import { failureOf, openRepository, serveRepository, type RepositoryFiles } from "./support.ts";

const add = (value: number): Uint8Array =>
  writeOnnx({
    inputs: [{ name: "in", dataType: "FP32", shape: ["batch", 2] }],
    outputs: [{ name: "out", dataType: "FP32", shape: ["batch", 2] }],
    nodes: [{ op: "Add", inputs: ["in", "v"], outputs: ["out"] }],
    initializers: { v: new Tensor("FP32", [1], Float32Array.of(value)) },
  });
const sum = writeOnnx({
  inputs: [
    { name: "a", dataType: "FP32", shape: ["batch", 2] },
    { name: "b", dataType: "FP32", shape: ["batch", 2] },
  ],
  outputs: [{ name: "s", dataType: "FP32", shape: ["batch", 2] }],
  nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["s"] }],
});
const tensor = (name: string): string => `{ name: "${name}" data_type: TYPE_FP32 dims: [ 2 ] }`;
const step = (model: string, inputs: Record<string, string>, outputs: Record<string, string>): string => {
  const map = (field: string, entries: Record<string, string>): string =>
    Object.entries(entries)
      .map(([key, value]) => `${field} { key: "${key}" value: "${value}" }`)
      .join(" ");
  return `step { model_name: "${model}" model_version: -1 ${map("input_map", inputs)} ${map("output_map", outputs)} }`;
};
const ensemble = (steps: string): string => `platform: "ensemble" max_batch_size: 4
  input ${tensor("x")} output [ ${tensor("y")}, ${tensor("z")} ] ensemble_scheduling { ${steps} }`;
const plain = (maxBatchSize = 4): string =>
  `backend: "onnxruntime" max_batch_size: ${maxBatchSize} instance_group { count: 1 kind: KIND_CPU }`;
/** y = (x + 1) + (x + 10), z = x + 1. */
const graph: RepositoryFiles = {
  "e/config.pbtxt": ensemble(
    [
      step("sum", { a: "one", b: "ten" }, { s: "y" }),
      step("plus1", { in: "x" }, { out: "one" }),
      step("plus10", { in: "x" }, { out: "ten" }),
      step("plus0", { in: "one" }, { out: "z" }),
    ].join(" "),
  ),
  "e/1/.keep": "",
  "plus0/config.pbtxt": plain(),
  "plus0/1/model.onnx": add(0),
  "plus1/config.pbtxt": plain(),
  "plus1/1/model.onnx": add(1),
  "plus10/config.pbtxt": plain(2),
  "plus10/1/model.onnx": add(10),
  "sum/config.pbtxt": plain(),
  "sum/1/model.onnx": sum,
};
const x = (rows: number): Pick<InferRequest, "inputs"> => ({
  inputs: [{ name: "x", dataType: "FP32", shape: [rows, 2], data: Float32Array.from({ length: rows * 2 }, (_, index) => index) }],
});

describe("an ensemble", () => {
  test("gives what its graph gives, and only what was asked for", async () => {
    await using served = await serveRepository(graph);
    const response = await served.infer("e", { id: "1", ...x(2) });
    expect(response.outputs).toEqual([
      expect.objectContaining({ name: "y", shape: [2, 2], data: Float32Array.of(11, 13, 15, 17) }),
      expect.objectContaining({ name: "z", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }),
    ]);
    const only = await served.infer("e", { ...x(1), outputs: [{ name: "z" }] });
    expect(only.outputs.map(({ name }) => name)).toEqual(["z"]);
    expect(served.server.modelMetadata("e", "")).toMatchObject({ platform: "ensemble", versions: ["1"] });
    expect(served.server.statistics("e", "")[0]).toMatchObject({ inference_count: 3, execution_count: 2 });
    expect(served.server.statistics("plus1", "")[0]).toMatchObject({ inference_count: 3, execution_count: 2 });
  });

  test("says in which of them a request failed", async () => {
    await using served = await serveRepository(graph);
    expect(await failureOf(served.infer("e", { id: "7", ...x(3) }))).toEqual({
      status: "INVALID_ARG",
      message: "in ensemble 'e', [request id: 7] inference request batch-size must be <= 2 for 'plus10'",
    });
    expect((await failureOf(served.infer("e", x(5)))).message).toBe(
      "[request id: <id_unknown>] inference request batch-size must be <= 4 for 'e'",
    );
    expect(served.server.statistics("e", "")[0]!.inference_stats.fail.count).toBe(1);
  });

  test("is loaded with its models, and not ready without", async () => {
    await using served = await serveRepository(graph, { control: "explicit" });
    const { server } = served;
    await server.load("", "plus0", {});
    await server.load("", "e", {});
    expect((await server.index("", true)).map(({ name }) => name)).toEqual(["e", "plus0", "plus1", "plus10", "sum"]);
    await server.unload("", "sum", false);
    expect(server.modelReady("e", "")).toBe(false);
    expect((await failureOf(served.infer("e", x(1)))).message).toBe(
      "in ensemble 'e', Request for unknown model: 'sum' has no available versions",
    );
    await server.unload("", "e", true);
    expect((await server.index("", true)).map(({ name }) => name)).toEqual(["plus0"]);
  });

  test("does not load without a model, or as a part of itself", async () => {
    const { "sum/1/model.onnx": _, ...without } = graph;
    expect((await failureOf(serveRepository(without))).message).toContain(
      "load failed for model 'e': version 1 is at UNAVAILABLE state: ensemble e contains models that are not available or ambiguous: sum;",
    );
    const circle = (other: string): string => ensemble(step(other, { x: "x" }, { y: "y", z: "z" }));
    await using served = await openRepository(
      { "a/config.pbtxt": circle("b"), "a/1/.keep": "", "b/config.pbtxt": circle("a"), "b/1/.keep": "" },
      { exitOnError: false },
    );
    await served.server.start();
    expect(served.server.ready()).toBe(false);
    expect(served.lines.some(({ fields }) => String(fields.err).includes("circular"))).toBe(true);
  });
});
