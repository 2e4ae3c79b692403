/** Responses that are kept. */
import { describe, expect, test } from "vitest";
import { ResponseCache } from "../../src/server/response-cache.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { serveRepository, type RepositoryFiles } from "./support.ts";

const fp32 = (...values: number[]): Tensor => new Tensor("FP32", [values.length], Float32Array.from(values));

describe("the cache", () => {
  test("tells apart what is not the same", () => {
    const cache = new ResponseCache(1_000_000);
    const keys = [
      cache.keyOf("m", { x: fp32(1) }),
      cache.keyOf("n", { x: fp32(1) }),
      cache.keyOf("m", { y: fp32(1) }),
      cache.keyOf("m", { x: fp32(2) }),
      cache.keyOf("m", { x: new Tensor("FP32", [1, 1], Float32Array.of(1)) }),
      cache.keyOf("m", { x: new Tensor("INT32", [1], Int32Array.of(1_065_353_216)) }),
      cache.keyOf("m", { x: new Tensor("BYTES", [2], ["ab", "c"]) }),
      cache.keyOf("m", { x: new Tensor("BYTES", [2], ["a", "bc"]) }),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    const both = { a: fp32(1), b: fp32(2) };
    expect(cache.keyOf("m", both)).toBe(cache.keyOf("m", { b: both.b, a: both.a }));
  });

  test("keeps what was used last, and nothing that is too large", () => {
    const cache = new ResponseCache(3 * (512 + 400));
    const outputs = { y: fp32(...new Array<number>(100).fill(1)) };
    for (const key of ["a", "b", "c"]) cache.set(key, outputs);
    expect(cache.get("a")).toEqual(outputs);
    cache.set("d", outputs);
    expect(["a", "b", "c", "d"].map((key) => cache.get(key) !== undefined)).toEqual([true, false, true, true]);
    cache.set("huge", { y: fp32(...new Array<number>(1_000).fill(1)) });
    expect(cache.get("huge")).toBeUndefined();
    expect(cache.get("d")).toBeDefined();
  });
});

const files: RepositoryFiles = {
  "m/config.pbtxt": `backend: "onnxruntime" max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
    output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } response_cache { enable: true } instance_group { count: 1 kind: KIND_CPU }`,
  "m/1/model.onnx": identityModel("FP32"),
};
const request = (value: number) => ({ inputs: [{ name: "x", dataType: "FP32", shape: [1, 2], data: Float32Array.of(value, 0) }] });

test("a model that asks for it answers the same request without running", async () => {
  await using served = await serveRepository(files, { responseCacheBytes: 1_000_000 });
  const first = await served.infer("m", request(1));
  const again = await served.infer("m", { id: "2", ...request(1), outputs: [{ name: "y", classification: 1 }] });
  await served.infer("m", request(2));
  expect(first.outputs[0]!.data).toEqual(Float32Array.of(1, 0));
  expect(again).toMatchObject({ id: "2", outputs: [{ data: ["1.000000:0"] }] });
  const [statistics] = served.server.statistics("m", "");
  expect(statistics).toMatchObject({ inference_count: 3, execution_count: 2 });
  expect(statistics!.inference_stats).toMatchObject({
    success: { count: 3 },
    compute_infer: { count: 2 },
    cache_hit: { count: 1 },
    cache_miss: { count: 2 },
  });
});

test("without room for it there is none", async () => {
  await using served = await serveRepository(files);
  await served.infer("m", request(1));
  await served.infer("m", request(1));
  expect(served.server.statistics("m", "")[0]).toMatchObject({ execution_count: 2, inference_stats: { cache_miss: { count: 0 } } });
});
