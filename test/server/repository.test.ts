/** What a repository's models go through: load, reload, unload, failures, polling. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { InferRequest } from "servable/server";
import { Tensor } from "../../src/tensor/tensor.ts";
import { writeOnnx } from "../support/onnx-writer.ts";
import { failureOf, openRepository, serveRepository, writeFiles, type RepositoryFiles, type Served } from "./support.ts";

// What a load brings along lies in the system's folder for such things; this one is nobody else's.
beforeAll(async () => void vi.stubEnv("TMPDIR", await mkdtemp(join(tmpdir(), "servable-test-"))));
afterAll(async () => {
  await rm(tmpdir(), { recursive: true, force: true });
  vi.unstubAllEnvs();
});

/** y = factor · x, of rows of two. */
const times = (factor: number): Uint8Array =>
  writeOnnx({
    inputs: [{ name: "x", dataType: "FP32", shape: ["batch", 2] }],
    outputs: [{ name: "y", dataType: "FP32", shape: ["batch", 2] }],
    nodes: [{ op: "Mul", inputs: ["x", "f"], outputs: ["y"] }],
    initializers: { f: new Tensor("FP32", [1], Float32Array.of(factor)) },
  });
const config = (more = ""): string => `backend: "onnxruntime" max_batch_size: 8
  input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
  instance_group { count: 1 kind: KIND_CPU } ${more}`;
const one: Pick<InferRequest, "inputs"> = { inputs: [{ name: "x", dataType: "FP32", shape: [1, 2], data: Float32Array.of(1, 10) }] };
const answer = async (served: Served, model = "m", version = ""): Promise<number> =>
  (await served.infer(model, one, version)).outputs[0]!.data[0] as number;
const plain: RepositoryFiles = { "m/config.pbtxt": config(), "m/1/model.onnx": times(2) };
const explicit = { control: "explicit" } as const;

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error("It never came to be.");
    await pause(10);
  }
}

describe("at the start", () => {
  test("models that have a configuration of the server's name are served with that, the others with their own", async () => {
    const files = { "configs/fast.pbtxt": config().replace("max_batch_size: 8", "max_batch_size: 2"), "1/model.onnx": times(2) };
    const both = Object.fromEntries(Object.entries(files).map(([name, content]) => [`both/${name}`, content]));
    await using served = await serveRepository({ ...plain, ...both, "both/config.pbtxt": config() }, { configName: "fast" });
    const sizes = ["m", "both"].map((name) => served.server.model(name, "").config.maxBatchSize);
    expect(sizes).toEqual([8, 2]);
    expect([await answer(served), await answer(served, "both")]).toEqual([2, 2]);
  });

  test("loads the newest version, or those of the policy", async () => {
    await using served = await serveRepository({
      ...plain,
      "m/3/model.onnx": times(3),
      "m/007/model.onnx": times(7),
      "all/config.pbtxt": config("version_policy { all {} }"),
      "all/1/model.onnx": times(1),
      "all/2/model.onnx": times(2),
      "few/config.pbtxt": config("version_policy { specific { versions: [ 1, 9 ] } }"),
      "few/1/model.onnx": times(1),
      "few/2/model.onnx": times(2),
    });
    const versions = (name: string): readonly string[] => served.server.modelMetadata(name, "").versions;
    expect([versions("m"), versions("all"), versions("few")]).toEqual([["3"], ["1", "2"], ["1"]]);
    expect([await answer(served), await answer(served, "all"), await answer(served, "all", "1")]).toEqual([3, 2, 1]);
    expect(served.server.modelMetadata("all", "1")).toEqual({
      name: "all",
      versions: ["1"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
    });
    expect(served.server.ready()).toBe(true);
  });

  test("a configuration that is missing is taken from the model", async () => {
    await using served = await serveRepository({ "m/1/model.onnx": times(2) });
    expect(await answer(served)).toBe(2);
    expect(served.server.model("m", "").config).toMatchObject({
      name: "m",
      maxBatchSize: 4,
      backend: "onnxruntime",
      dynamicBatching: { preferredBatchSize: [4] },
      input: [{ name: "x", dataType: "TYPE_FP32", dims: [2] }],
      instanceGroup: [{ name: "m", kind: "KIND_CPU", count: 2 }],
    });
  });

  test("it is not where that is off, and the start fails with everything unloaded", async () => {
    await using served = await openRepository({ ...plain, "bare/1/model.onnx": times(2) }, { autoComplete: false });
    expect((await failureOf(served.server.start())).message).toBe(
      "failed to load 'bare', failed to poll from model repository: model 'bare' has no config.pbtxt, and nothing is to be taken from the model itself (auto-complete is off)",
    );
    expect(served.server.live()).toBe(false);
    expect(served.lines.some(({ fields }) => String(fields.err).includes("has no config.pbtxt"))).toBe(true);
  });

  test("goes on without what fails where it may, and is not ready", async () => {
    await using served = await serveRepository(
      { ...plain, "cut/config.pbtxt": config(), "cut/1/model.onnx": times(2).subarray(0, 60) },
      { exitOnError: false },
    );
    expect(await answer(served)).toBe(2);
    expect(served.server.ready()).toBe(false);
    const [entry] = await served.server.index("", false);
    expect(entry).toMatchObject({ name: "cut", version: "1", state: "UNAVAILABLE" });
    expect(entry!.reason).toMatch(/The model 'cut' could not be loaded: .*(protobuf|parse)/i);
    expect(entry!.reason).not.toContain(served.folder);
    expect(() => served.server.model("cut", "")).toThrow("Request for unknown model: 'cut' has no available versions");
    expect(served.server.modelReady("cut", "1")).toBe(false);
    expect(() => served.server.modelReady("none", "")).toThrow("Request for unknown model: 'none' is not found");
    expect(() => served.server.model("cut", "1")).toThrow("Request for unknown model: 'cut' version 1 is not at ready state");
  });

  test("warms up, and a warm-up that fails fails the load", async () => {
    const warm = (file: string): string =>
      config(`model_warmup [ { name: "zeros" batch_size: 8 count: 2 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } } },
        { name: "noise" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2 ] random_data: true } } },
        { name: "file" batch_size: 2 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2 ] input_data_file: "${file}" } } } ]`);
    const data = new Uint8Array(8);
    await using served = await serveRepository({ ...plain, "m/config.pbtxt": warm("row"), "m/warmup/row": data });
    expect(await answer(served)).toBe(2);
    // What warmed it up counts for nobody.
    expect(served.server.statistics("m", "")[0]).toMatchObject({ inference_count: 1, execution_count: 1 });
    for (const [file, why] of [
      ["row", "only has 7 bytes"],
      ["none", "can't be read \\(ENOENT\\)"],
    ] as const) {
      const failing = serveRepository({ ...plain, "m/config.pbtxt": warm(file), "m/warmup/row": data.subarray(1) });
      expect((await failureOf(failing)).message).toMatch(
        new RegExp(`^load failed for model 'm': version 1 .*warmup sample 'file': .*${why}`),
      );
    }
  });

  test.each([
    ["a configuration that is no configuration", { "m/config.pbtxt": "\u0000\u0001{{{", "m/1/model.onnx": times(2) }, /failed to poll/],
    ["another name than its folder's", { "m/config.pbtxt": config('name: "n"'), "m/1/model.onnx": times(2) }, /failed to poll/],
    ["a GPU that is not there", { ...plain, "m/config.pbtxt": config().replace("KIND_CPU", "KIND_GPU") }, /failed to poll/],
    ["no version", { "m/config.pbtxt": config() }, /at least one version must be available under the version policy of model 'm'/],
    [
      "no file in its version",
      { "m/config.pbtxt": config(), "m/1/other.onnx": times(2) },
      /version 1 is at UNAVAILABLE state: .*does not exist/,
    ],
    [
      "more instances than any machine has room for",
      { ...plain, "m/config.pbtxt": config().replace(/count: \d+/, "count: 2147483647") },
      /more than 256 instances/,
    ],
    [
      "more threads than that",
      { ...plain, "m/config.pbtxt": config('parameters { key: "intra_op_thread_count" value { string_value: "40000" } }') },
      /'intra_op_thread_count' of model 'm' may be 1024 at most, not 40000/,
    ],
  ])("%s does not load", async (_, files, message) => {
    expect((await failureOf(serveRepository(files))).message).toMatch(message);
  });
});

describe("on demand", () => {
  test("loads, leaves alone what has not changed, reloads what has, unloads", async () => {
    await using served = await serveRepository(plain, explicit);
    const { server, folder } = served;
    expect(await server.index("", false)).toEqual([{ name: "m" }]);
    expect(() => server.model("m", "")).toThrow("Request for unknown model: 'm' is not found");

    await server.load("", "m", {});
    expect(await answer(served)).toBe(2);
    await server.load("", "m", {});
    expect(server.statistics("m", "")[0]!.inference_count).toBe(1);

    await writeFiles(folder, { "m/1/model.onnx": times(5), "m/2/model.onnx": times(6) });
    await server.load("", "m", {});
    expect(await answer(served)).toBe(6);
    expect(await server.index("", true)).toEqual([{ name: "m", version: "2", state: "READY" }]);
    await until(async () => (await server.index("", false))[0]?.reason === "unloaded");
    expect(() => server.model("m", "1")).toThrow("is not at ready state");

    await server.unload("", "m", false);
    expect(() => server.model("m", "")).toThrow("'m' has no available versions");
    await until(async () => (await server.index("", false)).every(({ state }) => state === "UNAVAILABLE"));
    expect(server.ready()).toBe(true);
    await server.unload("", "never-heard-of", false);
  });

  test("a reload drops no request", async () => {
    await using served = await serveRepository(plain, { ...explicit, loadModels: ["*"] });
    let going = true;
    let count = 0;
    const seen = new Set<number>();
    const callers = Array.from({ length: 8 }, async () => {
      while (going) {
        seen.add(await answer(served));
        count += 1;
      }
    });
    for (const factor of [3, 4, 5]) {
      await writeFiles(served.folder, { "m/1/model.onnx": times(factor) });
      await served.server.load("", "m", {});
      await expect.poll(() => seen.has(factor)).toBe(true);
    }
    going = false;
    await Promise.all(callers);
    expect([...seen]).toEqual([2, 3, 4, 5]);
    expect(count).toBeGreaterThan(20);
  });

  test("a reload that fails leaves what serves, and says why", async () => {
    await using served = await serveRepository(plain, { ...explicit, loadModels: ["m"] });
    await truncate(join(served.folder, "m/1/model.onnx"), 40);
    const failure = await failureOf(served.server.load("", "m", {}));
    expect(failure).toMatchObject({ status: "INVALID_ARG" });
    expect(failure.message).toMatch(/^load failed for model 'm': version 1 is at UNAVAILABLE state: .*;\n$/);
    expect(await answer(served)).toBe(2);
    await writeFile(join(served.folder, "m/config.pbtxt"), "nonsense");
    expect(await failureOf(served.server.load("", "m", {}))).toEqual({
      status: "INTERNAL",
      message: "failed to load 'm', failed to poll from model repository",
    });
    expect(await answer(served)).toBe(2);
  });

  test("a load may bring a configuration, and files", async () => {
    await using served = await serveRepository(plain, explicit);
    const { server } = served;
    const own = JSON.stringify({
      backend: "onnxruntime",
      max_batch_size: 2,
      input: [{ name: "x", data_type: "TYPE_FP32", dims: [2] }],
      output: [{ name: "y", data_type: "TYPE_FP32", dims: [2] }],
    });
    await server.load("", "m", { config: own });
    expect(server.model("m", "").config.maxBatchSize).toBe(2);
    // Nothing has changed since, so this is no news; only an unload makes it forget.
    await server.load("", "m", {});
    expect(server.model("m", "").config.maxBatchSize).toBe(2);
    await server.unload("", "m", false);
    await server.load("", "m", {});
    expect(server.model("m", "").config.maxBatchSize).toBe(8);

    const files = new Map([["7/model.onnx", times(7)]]);
    expect((await failureOf(server.load("", "m", { files }))).message).toMatch(/requires 'config' parameter/);
    await server.load("", "new", { config: own, files });
    expect(await answer(served, "new")).toBe(7);
    expect(await brought()).toHaveLength(1);
    await server.unload("", "new", false);
    await until(async () => (await brought()).length === 0);
    // Nor may the name lead out of where they are written.
    for (const name of ["../evil", "..", "a/../../evil"]) {
      expect((await failureOf(server.load("", name, { config: own, files: new Map([["evil", new Uint8Array(1)]]) }))).message).toBe(
        `failed to load '${name}', failed to poll from model repository`,
      );
      expect(existsSync(join(tmpdir(), "evil"))).toBe(false);
    }
    expect(await brought()).toHaveLength(0);
    const out = new Map([["../evil", new Uint8Array(1)]]);
    expect((await failureOf(server.load("", "m", { config: own, files: out }))).message).toBe(
      "failed to load 'm', failed to poll from model repository",
    );
  });

  test("what can't be, is refused", async () => {
    await using served = await serveRepository(plain, explicit);
    const { server } = served;
    for (const name of ["nope", "..", "../m", "a/b", "a\0b", "", "x".repeat(300)]) {
      expect(await failureOf(server.load("", name, {}))).toEqual({
        status: "INTERNAL",
        message: `failed to load '${name}', failed to poll from model repository`,
      });
    }
    expect(await failureOf(server.load("r", "m", {}))).toEqual({
      status: "UNSUPPORTED",
      message: "'repository_name' specification is not supported",
    });
    expect((await server.index("", false)).length).toBe(1);
    await using none = await serveRepository(plain);
    expect(await failureOf(none.server.load("", "m", {}))).toEqual({
      status: "UNAVAILABLE",
      message: "explicit model load / unload is not allowed if polling is enabled",
    });
  });

  test("of a model in two repositories nobody chooses", async () => {
    await using served = await openRepository(plain);
    const second = await mkdtemp(join(tmpdir(), "servable-test-"));
    try {
      await writeFiles(second, { ...plain, "other/1/model.onnx": times(4) });
      const { ModelRepositoryServer } = await import("servable/server");
      const { keepLog } = await import("../support/serving.ts");
      const server = new ModelRepositoryServer({ repositories: [served.folder, second], log: keepLog(), exitOnError: false });
      await server.start();
      expect((await server.index("", true)).map(({ name }) => name)).toEqual(["other"]);
      await server.stop(1_000);
    } finally {
      await rm(second, { recursive: true, force: true });
    }
  });
});

describe("polling", () => {
  test("notices what is new, what has changed and what is gone", async () => {
    await using served = await serveRepository(plain, { control: "poll", pollMs: 30 });
    const { server, folder } = served;
    await writeFiles(folder, { "n/1/model.onnx": times(3) });
    await until(() => server.reports().length === 2);
    await writeFiles(folder, { "m/1/model.onnx": times(4) });
    await until(async () => (await answer(served)) === 4);
    await rm(join(folder, "n"), { recursive: true });
    await until(() => server.reports().length === 1);
    // What is wrong is tried once for each change, not at each look.
    await writeFiles(folder, { "m/config.pbtxt": "wrong" });
    const failures = (): number => served.lines.filter(({ message }) => message === "model could not be read from its repository").length;
    await until(() => failures() > 0);
    await pause(150);
    expect(failures()).toBeLessThanOrEqual(2);
    expect(await answer(served)).toBe(4);
  });
});

test("a stop while models load ends them, and nothing is left", async () => {
  const served = await openRepository({ ...plain, "n/1/model.onnx": times(3) });
  const started = failureOf(served.server.start());
  await pause(5);
  await served[Symbol.asyncDispose]();
  expect((await started).status).toMatch(/cancelled|load_failed/);
  expect(await brought()).toEqual([]);
});

async function brought(): Promise<readonly string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith("servable-model-"));
}
