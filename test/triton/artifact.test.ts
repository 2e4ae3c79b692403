import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  downloadArtifact,
  makeTritonConfiguration,
  parseModelConfig,
  RunnableTritonConfig,
  tritonConfigOnnxModel,
  TritonModelConfig,
  TritonTensor,
  type Storage,
} from "servable/triton";
import { ModelRepositoryServer } from "servable/server";
import { identityModel, writeOnnx } from "../support/onnx-writer.ts";
import { keepLog } from "../support/serving.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "servable-artifact-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function config(name: string): TritonModelConfig {
  return new TritonModelConfig({
    name,
    backend: "onnxruntime",
    maxBatchSize: 4,
    inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [2])],
    outputs: [new TritonTensor("y", "TYPE_FP32", "FORMAT_NONE", [2])],
  });
}

const model = identityModel("FP32");

describe("makeTritonConfiguration", () => {
  test("models to an archive that is downloaded again and served", async () => {
    const file = path.join(folder, "identity.onnx");
    await writeFile(file, model);
    const storage = path.join(folder, "storage");
    const stages = new Set<string>();
    const made = await makeTritonConfiguration({
      models: [
        { config: await tritonConfigOnnxModel(file, { name: "echo" }), files: { "1/model.onnx": file } },
        { config: config("twin"), files: { "3/model.onnx": model, "labels.txt": Buffer.from("a\nb\n") } },
      ],
      storage,
      onProgress: ({ stage }) => stages.add(stage),
    });
    expect(made).toBeInstanceOf(RunnableTritonConfig);
    expect(made.configs.map(({ name }) => name)).toEqual(["echo", "twin"]);
    expect(made.config.name).toBe("echo");
    expect([...stages]).toEqual(["pack", "upload"]);
    const [archive = ""] = await readdir(storage);
    const digest = made.modelArtifactUri.split("#sha256=")[1] ?? "";
    expect(archive).toBe(`models-${digest.slice(0, 16)}.tar.gz`);
    const { folder: repository } = await downloadArtifact(made.modelArtifactUri, { folder: path.join(folder, "cache") });
    expect((await readdir(repository, { recursive: true })).sort()).toEqual(
      [
        "echo",
        "echo/1",
        "echo/1/model.onnx",
        "echo/config.pbtxt",
        "twin",
        "twin/3",
        "twin/3/model.onnx",
        "twin/config.pbtxt",
        "twin/labels.txt",
      ].sort(),
    );
    const text = await readFile(path.join(repository, "echo/config.pbtxt"), "utf8");
    expect(parseModelConfig(text)).toMatchObject({
      name: "echo",
      maxBatchSize: 4,
      input: [{ name: "x", dataType: "TYPE_FP32", dims: [2] }],
    });
    const server = new ModelRepositoryServer({ repositories: [repository], log: keepLog() });
    await server.start();
    try {
      expect(server.ready()).toBe(true);
      expect(server.model("echo", "").version).toBe("1");
      expect(server.model("twin", "3").config.maxBatchSize).toBe(4);
    } finally {
      await server.stop(2_000);
    }
  });

  test("the same models give the same artifact; a folder that is a repository already, too", async () => {
    const models = [{ config: config("echo"), files: { "1/model.onnx": model } }];
    const first = await makeTritonConfiguration({ models, storage: path.join(folder, "a") });
    const again = await makeTritonConfiguration({ models, storage: path.join(folder, "a") });
    expect(again.modelArtifactUri).toBe(first.modelArtifactUri);
    expect((await readdir(path.join(folder, "a"))).length).toBe(1);
    const repository = path.join(folder, "models");
    await mkdir(path.join(repository, "echo/1"), { recursive: true });
    await mkdir(path.join(repository, ".git"));
    await writeFile(path.join(repository, ".git/HEAD"), "x");
    await writeFile(path.join(repository, "README.md"), "not a model");
    await writeFile(path.join(repository, "echo/1/model.onnx"), model);
    await writeFile(path.join(repository, "echo/config.pbtxt"), config("echo").asPbtext());
    const ofFolder = await makeTritonConfiguration({ repository, storage: path.join(folder, "b"), name: "echo", format: "tar.gz" });
    expect(ofFolder.modelArtifactUri.split("#")[1]).toBe(first.modelArtifactUri.split("#")[1]);
    expect(ofFolder.config.asPbtext()).toBe(config("echo").asPbtext());
    const plain = await makeTritonConfiguration({ repository, storage: path.join(folder, "b"), format: "tar" });
    expect(plain.modelArtifactUri).toMatch(/\/echo-[0-9a-f]{16}\.tar#sha256=[0-9a-f]{64}$/);
  });

  test("a storage of one's own", async () => {
    const kept = new Map<string, number>();
    const storage: Storage = {
      uriOf: (name) => `own:${name ?? ""}`,
      read: () => Promise.reject(new Error("unused")),
      write: (name, source) => Promise.resolve(void kept.set(name, source.bytes)),
    };
    const made = await makeTritonConfiguration({ models: [{ config: config("echo"), files: { "1/model.onnx": model } }], storage });
    expect(made.modelArtifactUri).toMatch(/^own:echo-/);
    expect(kept.size).toBe(1);
  });

  test("an ensemble has no file, and still its version", async () => {
    const step = { modelName: "echo", modelVersion: -1, inputMap: { x: "x" }, outputMap: { y: "y" } };
    const ensemble = new TritonModelConfig({
      name: "chain",
      platform: "ensemble",
      inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [2])],
      outputs: [new TritonTensor("y", "TYPE_FP32", "FORMAT_NONE", [2])],
      ensembleScheduling: { step: [step] },
    });
    const made = await makeTritonConfiguration({ models: [{ config: ensemble, files: {} }], storage: folder });
    const { folder: repository } = await downloadArtifact(made.modelArtifactUri, { folder: path.join(folder, "cache") });
    expect(await readdir(path.join(repository, "chain"))).toEqual(["1", "config.pbtxt"]);
  });

  test("what is wrong is told before anything is written", async () => {
    const storage = path.join(folder, "storage");
    const made = (options: Partial<Parameters<typeof makeTritonConfiguration>[0]>) => makeTritonConfiguration({ storage, ...options });
    const echo = config("echo");
    await expect(made({})).rejects.toThrow("either models or a repository");
    await expect(made({ models: [], repository: folder })).rejects.toThrow("either models or a repository");
    await expect(made({ models: [] })).rejects.toThrow("There is no model");
    await expect(made({ repository: folder })).rejects.toThrow("holds no model");
    await expect(made({ models: [{ config: echo, files: {} }] })).rejects.toThrow("has no file of a version");
    await expect(made({ models: [{ config: echo, files: { "1/model.onnx": "/nowhere.onnx" } }] })).rejects.toThrow("which can't be read");
    await expect(made({ models: [{ config: echo, files: { "1/../../x": model } }] })).rejects.toThrow("can't be the name of an artifact");
    await expect(made({ models: [{ config: echo, files: { "config.pbtxt": model, "1/m": model } }] })).rejects.toThrow(
      "leave it out of files",
    );
    const twice = { config: echo, files: { "1/model.onnx": model } };
    await expect(made({ models: [twice, twice] })).rejects.toThrow("twice");
    await expect(made({ models: [twice], storage: "gs://x" })).rejects.toThrow("there are storages for");
    await expect(made({ models: [twice], name: "../x" })).rejects.toThrow("can't be the name");
    const giveUp = AbortSignal.abort(new Error("enough"));
    await expect(made({ models: [twice], signal: giveUp })).rejects.toThrow("enough");
    expect(await readdir(folder)).toEqual([]);
  });
});

test("RunnableTritonConfig", () => {
  const one = new RunnableTritonConfig("s3://b/k.tar.gz", config("a"));
  expect([one.modelArtifactUri, one.config.name, one.configs.length]).toEqual(["s3://b/k.tar.gz", "a", 1]);
  expect(() => new RunnableTritonConfig("", config("a"))).toThrow("must say where the archive is");
  expect(() => new RunnableTritonConfig("x", [])).toThrow("at least one model");
  expect(() => new RunnableTritonConfig("x", [config("a"), config("a")])).toThrow("two configurations of the model 'a'");
});

describe("tritonConfigOnnxModel", () => {
  async function put(name: string, bytes: Uint8Array): Promise<string> {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, bytes);
    return file;
  }

  test("takes names, types and shapes from the model, and batches where it can have them", async () => {
    const wide = writeOnnx({
      inputs: [
        { name: "a", dataType: "FP32", shape: ["n", 3, "width"] },
        { name: "b", dataType: "INT64", shape: ["n"] },
      ],
      outputs: [
        { name: "y", dataType: "FP32", shape: ["n", 3, "width"] },
        { name: "z", dataType: "INT64", shape: ["n"] },
      ],
      nodes: [
        { op: "Identity", inputs: ["a"], outputs: ["y"] },
        { op: "Identity", inputs: ["b"], outputs: ["z"] },
      ],
    });
    const found = (await tritonConfigOnnxModel(await put("wide.onnx", wide), { instanceGroup: [{ count: 2 }] })).config;
    expect(found).toMatchObject({
      name: "wide",
      backend: "onnxruntime",
      platform: "onnxruntime_onnx",
      maxBatchSize: 4,
      dynamicBatching: {},
      instanceGroup: [{ count: 2 }],
      input: [
        { name: "a", dataType: "TYPE_FP32", dims: [3, -1] },
        { name: "b", dataType: "TYPE_INT64", dims: [1], reshape: { shape: [] } },
      ],
    });
    const plain = (await tritonConfigOnnxModel(path.join(folder, "wide.onnx"), { maxBatchSize: 0 })).config;
    expect(plain.maxBatchSize ?? 0).toBe(0);
    expect(plain.dynamicBatching).toBeUndefined();
    expect(plain.input?.[0]?.dims).toEqual([-1, 3, -1]);
    const still = (await tritonConfigOnnxModel(path.join(folder, "wide.onnx"), { maxBatchSize: 16, dynamicBatching: false })).config;
    expect([still.maxBatchSize, still.dynamicBatching]).toEqual([16, undefined]);
  });

  test("is named as its folder in a repository", async () => {
    const file = await put("mlp/2/model.onnx", identityModel("FP32", [1, 2]));
    const { config: found, name } = await tritonConfigOnnxModel(file);
    expect([name, found.maxBatchSize ?? 0]).toEqual(["mlp", 0]);
  });

  test("what is wrong has its reason", async () => {
    const fixed = await put("fixed.onnx", identityModel("FP32", [1, 2]));
    await expect(tritonConfigOnnxModel(fixed, { maxBatchSize: 8 })).rejects.toThrow("does not support batching");
    const wrong = [new TritonTensor("q", "TYPE_FP32", "FORMAT_NONE", [2])];
    await expect(tritonConfigOnnxModel(fixed, { inputs: wrong })).rejects.toMatchObject({ code: "invalid_config" });
    const cut = await put("cut.onnx", model.subarray(0, model.length / 2));
    await expect(tritonConfigOnnxModel(cut)).rejects.toMatchObject({ code: "load_failed" });
    await expect(tritonConfigOnnxModel(path.join(folder, "nothing.onnx"))).rejects.toMatchObject({ code: "load_failed" });
    await expect(tritonConfigOnnxModel(folder)).rejects.toThrow("is no file");
  });
});

test("the SDK for S3 is asked for by name where it is missing", async () => {
  const { execFile } = await import("node:child_process");
  const { promisify } = await import("node:util");
  const hook = `data:text/javascript,${encodeURIComponent(`
    export async function resolve(name, context, next) {
      if (name.startsWith("@aws-sdk/")) throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
      return next(name, context);
    }`)}`;
  const code = `
    import { register } from "node:module";
    register(${JSON.stringify(hook)});
    const { openStorage } = await import("servable/triton");
    const storage = openStorage("s3://bucket/key");
    console.log(storage.uriOf("x"));
    await storage.read().catch(({ code, message }) => console.log(code, message));`;
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code], { cwd });
  expect(stdout).toContain("s3://bucket/key/x");
  expect(stdout).toContain(
    "missing_dependency Artifacts at s3:// need the package @aws-sdk/client-s3. Install it: npm install @aws-sdk/client-s3",
  );
});
