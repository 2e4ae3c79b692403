/** What becomes of the memory of requests whose front says that it is theirs alone. */
import { describe, expect, test } from "vitest";
import type { InferRequest } from "servable/server";
import { identityModel } from "../support/onnx-writer.ts";
import { serveRepository, type RepositoryFiles } from "./support.ts";

const elements = 100_000;
const io = `input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } output { name: "y" data_type: TYPE_FP32 dims: [ -1 ] }`;
const step = (from: string, to: string): string =>
  `step { model_name: "m" model_version: -1 input_map { key: "x" value: "${from}" } output_map { key: "y" value: "${to}" } }`;
const files: RepositoryFiles = {
  "m/config.pbtxt": `backend: "onnxruntime" max_batch_size: 2 dynamic_batching { } ${io}`,
  "m/1/model.onnx": identityModel("FP32", ["batch", "n"]),
  "e/config.pbtxt": `platform: "ensemble" max_batch_size: 2
    input { name: "in" data_type: TYPE_FP32 dims: [ -1 ] }
    output [ { name: "a" data_type: TYPE_FP32 dims: [ -1 ] }, { name: "b" data_type: TYPE_FP32 dims: [ -1 ] } ]
    ensemble_scheduling { ${step("in", "a")} ${step("in", "b")} }`,
  "e/1/.keep": "",
};
/** A tensor in the middle of a message, as the fronts have it. */
function request(name: string, owned: boolean): Pick<InferRequest, "inputs" | "owned"> & { readonly memory: ArrayBuffer } {
  const memory = new ArrayBuffer(64 + elements * 4);
  new Float32Array(memory, 64).fill(7);
  return { memory, owned, inputs: [{ name, dataType: "FP32", shape: [1, elements], bytes: new Uint8Array(memory, 64) }] };
}

describe("a large request", () => {
  test("hands its memory over to the model where it is its own, and keeps it where it is not", async () => {
    await using served = await serveRepository(files);
    for (const owned of [true, false]) {
      const { memory, ...asked } = request("x", owned);
      const { outputs } = await served.infer("m", asked);
      expect((outputs[0]!.data as Float32Array).every((value) => value === 7)).toBe(true);
      expect(memory.byteLength).toBe(owned ? 0 : 64 + elements * 4);
    }
  });

  test("that several steps of an ensemble read is there for each of them", async () => {
    await using served = await serveRepository(files);
    const { memory, ...asked } = request("in", true);
    const { outputs } = await served.infer("e", asked);
    expect(outputs.map(({ name, data }) => [name, (data as Float32Array).every((value) => value === 7)])).toEqual([
      ["a", true],
      ["b", true],
    ]);
    expect(memory.byteLength).toBe(64 + elements * 4);
  });
});
