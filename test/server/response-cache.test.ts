/** Responses that are kept. */
import { describe, expect, test } from "vitest";
import { createModelMetrics } from "servable/http";
import { ResponseCache } from "../../src/server/response-cache.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { failureOf, openRepository, serveRepository, type RepositoryFiles, type Served } from "./support.ts";

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
      cache.keyOf("m", { x: fp32(1) }, { a: 1 }),
      cache.keyOf("m", { x: fp32(1) }, { a: "1" }),
      cache.keyOf("m", { x: fp32(1) }, { a: 1, b: 1 }),
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

  test("gives and keeps copies", () => {
    const cache = new ResponseCache(1_000_000);
    const outputs = { y: fp32(1), text: new Tensor("BYTES", [1], ["a"]) };
    cache.set("a", outputs);
    (outputs.y.data as Float32Array)[0] = 2;
    const given = cache.get("a");
    expect(given?.y?.data).toEqual(Float32Array.of(1));
    (given?.y?.data as Float32Array)[0] = 3;
    expect(cache.get("a")).toEqual({ y: fp32(1), text: outputs.text });
  });

  test("forgets what one model gave", () => {
    const cache = new ResponseCache(1_000_000);
    const [one, eleven] = [cache.keyOf("1", { x: fp32(1) }), cache.keyOf("11", { x: fp32(1) })];
    for (const key of [one, eleven]) cache.set(key, { y: fp32(1) });
    cache.forget("1");
    expect([cache.get(one), cache.get(eleven)?.y?.data]).toEqual([undefined, Float32Array.of(1)]);
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
  expect(statistics).toMatchObject({ inference_count: 2, execution_count: 2 });
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

describe("of a model in TypeScript", () => {
  const counting = (enabled = true): RepositoryFiles => ({
    "m/config.pbtxt": `backend: "typescript" response_cache { enable: ${String(enabled)} }`,
    "m/1/model.mjs": `
      import { ServableError } from "servable";
      import { defineModel } from "servable/server";
      let runs = 0;
      export default defineModel({
        inputs: { x: { dataType: "FP32", dims: [1] } },
        outputs: { runs: { dataType: "INT32", dims: [1] }, x: { dataType: "FP32", dims: [1] } },
        run({ x }) {
          runs += 1;
          if (x.data[0] === 13) throw new ServableError("invalid_request", "not 13: " + runs);
          return { runs: { dataType: "INT32", shape: [1], data: Int32Array.of(runs) }, x };
        },
      });`,
  });
  const ask = (value: number, more: object = {}) => ({
    inputs: [{ name: "x", dataType: "FP32", shape: [1], data: Float32Array.of(value) }],
    ...more,
  });
  const options = { responseCacheBytes: 1_000_000, control: "explicit", loadModels: ["m"] } as const;
  const runs = async (served: Served, request: object): Promise<number> => {
    const { outputs } = await served.infer("m", request);
    return outputs.find(({ name }) => name === "runs")?.data[0] as number;
  };

  test("parameters belong to what it is asked, the outputs that are wanted do not", async () => {
    await using served = await serveRepository(counting(), options);
    expect(await runs(served, ask(1))).toBe(1);
    expect(await runs(served, ask(1, { id: "other" }))).toBe(1);
    expect(await runs(served, ask(1, { outputs: [{ name: "runs" }] }))).toBe(1);
    expect(await runs(served, ask(1, { parameters: { seed: 2 } }))).toBe(2);
    expect(await runs(served, ask(1, { parameters: { seed: 2 } }))).toBe(2);
    expect(await runs(served, ask(2))).toBe(3);
  });

  test("a failure is not kept, nor anything over an unload", async () => {
    await using served = await serveRepository(counting(), options);
    const failure = async (): Promise<string> => (await failureOf(served.infer("m", ask(13)))).message;
    expect([await failure(), await failure()]).toEqual(["not 13: 1", "not 13: 2"]);
    expect([await runs(served, ask(1)), await runs(served, ask(1))]).toEqual([3, 3]);
    await served.server.unload("", "m", false);
    await served.server.load("", "m", {});
    expect(await runs(served, ask(1))).toBe(1);
  });

  test("its metrics are there from the start, and only of a model that has a cache", async () => {
    for (const enabled of [true, false]) {
      await using served = await serveRepository(counting(enabled), options);
      const lines = async (): Promise<string[]> => (await createModelMetrics(served.server, { cpu: false }).metrics()).split("\n");
      const of = `{model="m",version="1"}`;
      expect((await lines()).filter((line) => line.startsWith("nv_cache")).length).toBe(enabled ? 4 : 0);
      for (const value of [1, 1, 1, 2]) await served.infer("m", ask(value));
      const after = await lines();
      expect(after).toContain(`nv_inference_request_success${of} 4`);
      expect(after).toContain(`nv_inference_count${of} ${enabled ? 2 : 4}`);
      expect(after.includes(`nv_cache_num_hits_per_model${of} 2`)).toBe(enabled);
      expect(after.includes(`nv_cache_num_misses_per_model${of} 2`)).toBe(enabled);
    }
  });
});

test("a model that is decoupled can't ask for it", async () => {
  const decoupled = `backend: "typescript" model_transaction_policy { decoupled: true } response_cache { enable: true }
    input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }`;
  await using served = await openRepository(
    { "m/config.pbtxt": decoupled, "m/1/model.mjs": "export default { async *run() {} };" },
    { exitOnError: false, responseCacheBytes: 1_000 },
  );
  await served.server.start();
  expect(served.lines.map(({ fields }) => JSON.stringify(fields)).join()).toContain("decoupled responses can't have a response cache");
  expect(await served.server.index("", true)).toEqual([]);
});
