import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseModelConfig } from "../../src/triton.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { Server, makeFolder, removeFolder, root, runCli } from "./support.ts";

let folder: string;
beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => removeFolder(folder));

const model = identityModel("FP32", ["n", 2]);

async function put(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

const echo = (name: string, more = ""): string => `name: "${name}"
backend: "onnxruntime"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } ]
${more}`;

describe("servable triton config", () => {
  test("of a file: to standard output, or into a file that is not there yet", async () => {
    await put({ "echo.onnx": model });
    const printed = await runCli(["triton", "config", "echo.onnx"], { cwd: folder });
    expect([printed.code, printed.stderr]).toEqual([0, ""]);
    expect(parseModelConfig(printed.stdout)).toEqual({
      name: "echo",
      platform: "onnxruntime_onnx",
      backend: "onnxruntime",
      maxBatchSize: 4,
      dynamicBatching: {},
      input: [{ name: "x", dataType: "TYPE_FP32", dims: [2] }],
      output: [{ name: "y", dataType: "TYPE_FP32", dims: [2] }],
    });
    const into = ["triton", "config", "echo.onnx", "--output", "out.pbtxt", "--name", "other", "--max-batch-size", "16"];
    expect((await runCli(into, { cwd: folder })).code).toBe(0);
    expect(parseModelConfig(await readFile(join(folder, "out.pbtxt"), "utf8"))).toMatchObject({ name: "other", maxBatchSize: 16 });
    const again = await runCli(into, { cwd: folder });
    expect([again.code, again.stderr]).toEqual([2, "servable: out.pbtxt is there already; --force writes over it.\n"]);
    expect((await runCli([...into, "--force"], { cwd: folder })).code).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(["echo.onnx", "out.pbtxt"]);
  });

  test("of a file that is no model: which one, and why", async () => {
    await put({ "notes.txt": "no model" });
    const { code, stdout, stderr } = await runCli(["triton", "config", "notes.txt"], { cwd: folder });
    expect([code, stdout, stderr]).toEqual([
      1,
      "",
      "servable: notes.txt: The model 'notes' could not be loaded: Protobuf parsing failed.\n",
    ]);
  });

  test("of a repository: what it lacks", async () => {
    await put({ "models/a/1/model.onnx": model, "models/b/2/model.onnx": model, "models/b/config.pbtxt": "# mine\n" });
    const { code, stdout } = await runCli(["triton", "config", "models"], { cwd: folder });
    expect(code).toBe(0);
    expect(stdout).toContain("b/config.pbtxt is there already (--force writes over it)");
    expect(stdout).toContain("wrote");
    expect(parseModelConfig(await readFile(join(folder, "models/a/config.pbtxt"), "utf8"))).toMatchObject({ name: "a", maxBatchSize: 4 });
    expect(await readFile(join(folder, "models/b/config.pbtxt"), "utf8")).toBe("# mine\n");
    // The folder of one model; and what was written is what the check takes.
    expect((await runCli(["triton", "config", "models/b", "--force"], { cwd: folder })).code).toBe(0);
    const checked = await runCli(["triton", "config", "--check", "models"], { cwd: folder });
    expect([checked.code, checked.stdout]).toEqual([0, "2 models: all fine\n"]);
  });

  test("what is wrong has its line", async () => {
    await put({ "cut.onnx": model.subarray(0, 20), "empty/x": "", "models/a/1/other.onnx": model });
    for (const [args, code, reason] of [
      [["cut.onnx"], 1, "cut"],
      [["nothing.onnx"], 2, "nothing.onnx can't be read"],
      [["empty"], 2, "holds no model"],
      [["models"], 1, "'model.onnx' of version 1 of model 'a' does not exist"],
      [["models", "--output", "x"], 2, "--output and --name go with an .onnx file"],
      [["cut.onnx", "--check"], 2, "--check takes a repository"],
      [["models", "--check", "--force"], 2, "--check writes nothing"],
      [["models", "--max-batch-size", "-1"], 2, "max-batch-size"],
    ] as const) {
      const result = await runCli(["triton", "config", ...args], { cwd: folder });
      expect([result.code, result.stderr.split("\n").length], args.join(" ")).toEqual([code, 2]);
      expect(result.stderr).toContain(reason);
    }
  });
});

describe("servable triton config --check", () => {
  test("tells every problem of every model in one run", async () => {
    const step = (name: string): string =>
      `step [ { model_name: "${name}" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "y" } } ]`;
    const ensemble = (name: string, of: string): string => `name: "${name}"
platform: "ensemble"
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] } ]
ensemble_scheduling { ${step(of)} }`;
    await put({
      "models/good/1/model.onnx": model,
      "models/good/config.pbtxt": echo("good"),
      "models/bare/1/model.onnx": model,
      "models/syntax/1/model.onnx": model,
      "models/syntax/config.pbtxt": 'name: "syntax"\nmax_batch_size: [ }',
      "models/shape/1/model.onnx": model,
      "models/shape/config.pbtxt": echo("shape").replace("dims: [ 2 ] } ]\noutput", "dims: [ 3 ] } ]\noutput").replace('"y"', '"z"'),
      "models/named/1/model.onnx": model,
      "models/named/config.pbtxt": echo("other", "dynamic_batching { preferred_batch_size: [ 9 ] }"),
      "models/labels/1/model.onnx": model,
      "models/labels/config.pbtxt": echo("labels").replace('{ name: "y"', '{ name: "y" label_filename: "labels.txt"'),
      "models/cut/1/model.onnx": model.subarray(0, 30),
      "models/cut/config.pbtxt": echo("cut"),
      "models/gone/config.pbtxt": echo("gone"),
      "models/torch/1/x": "",
      "models/torch/config.pbtxt": echo("torch").replace("onnxruntime", "pytorch"),
      "models/own/1/x": "",
      "models/own/config.pbtxt": echo("own").replace("onnxruntime", "of_our_own"),
      "models/chain/1/.keep": "",
      "models/chain/config.pbtxt": ensemble("chain", "nobody"),
      "models/round/1/.keep": "",
      "models/round/config.pbtxt": ensemble("round", "trip"),
      "models/trip/1/.keep": "",
      "models/trip/config.pbtxt": ensemble("trip", "round"),
      "models/versions/1/model.onnx": model,
      "models/versions/2/model.onnx": identityModel("INT64", ["n", 2]),
      "models/versions/03/model.onnx": model,
      "models/versions/config.pbtxt": echo("versions", "version_policy: { all {} }"),
    });
    const { code, stdout, stderr } = await runCli(["triton", "config", "--check", "models"], { cwd: folder });
    expect([code, stderr]).toEqual([3, ""]);
    const lines = stdout.trimEnd().split("\n");
    const of = (name: string): string => lines.filter((line) => line.startsWith(`${name}: `)).join("\n");
    expect(lines.at(-1)).toBe("14 models: 11 would not load");
    expect(of("good") + of("bare")).toBe("");
    expect(of("syntax")).toMatch(/line 2/);
    expect(of("shape")).toMatch(/input\[0\]\.dims.*\n.*output\[0\]\.name.*the model has no output 'z'/s);
    expect(of("named")).toMatch(/name: 'other' is not the name of the model's folder/);
    expect(of("named")).toMatch(/dynamic_batching\.preferred_batch_size/);
    expect(of("labels")).toContain("output[0].label_filename: The label file 'labels.txt' of model 'labels' does not exist.");
    expect(of("cut")).toContain("error: ");
    expect(of("gone")).toContain("at least one version must be available");
    expect(of("torch")).toContain("'model.pt' of version 1 of model 'torch' does not exist");
    expect(of("own")).toBe("own: note: nothing is known of the backend 'of_our_own': only a Triton that has it installed loads the model");
    expect(of("chain")).toContain("there is no model 'nobody' in the repository");
    expect(of("round")).toContain("it is a part of itself: round → trip → round");
    expect(of("versions")).toContain("(version 2)");
    expect(of("versions")).toContain("note: the folder '03' is no version and is passed over");
  }, 60_000);
});

describe("servable triton types", () => {
  let server: Server;
  let repository: string;
  beforeAll(async () => {
    repository = await makeFolder();
    await mkdir(join(repository, "echo-2/1"), { recursive: true });
    await writeFile(join(repository, "echo-2/1/model.onnx"), model);
    await mkdir(join(repository, "fixed/1"), { recursive: true });
    await writeFile(join(repository, "fixed/1/model.onnx"), identityModel("BYTES", [1, 2]));
    server = new Server([
      "models",
      "--model-repository",
      repository,
      "--http-port=0",
      "--allow-grpc=false",
      "--allow-metrics=false",
      "--log-format",
      "json",
    ]);
  });
  afterAll(async () => {
    await server.stop();
    await removeFolder(repository);
  });

  test("of a repository and of a server that serves it are the same, and compile", async () => {
    const ofFolder = await runCli(["triton", "types", repository]);
    expect([ofFolder.code, ofFolder.stderr]).toEqual([0, ""]);
    expect(ofFolder.stdout).toContain('readonly x: { readonly dataType: "FP32"; readonly shape: readonly [number, number] };');
    const url = await server.until(() => /http:\/\/127\.0\.0\.1:\d+/.exec(server.stdout)?.[0]);
    await server.until(async () => (await fetch(`${url}/v2/health/ready`)).ok);
    const ofServer = await runCli(["triton", "types", "--url", url]);
    expect([ofServer.code, ofServer.stdout]).toEqual([0, ofFolder.stdout]);
    await writeFile(join(folder, "models.d.ts"), ofFolder.stdout);
    const use = (input: string): string => `
      import { OpenInferenceClient } from "servable/client";
      import type { Models } from "./models.d.ts";
      const client = new OpenInferenceClient<Models>("http://127.0.0.1:8000");
      export const answer = client.infer("echo-2", { ${input} });`;
    await writeFile(join(folder, "good.ts"), use("x: { shape: [1, 2], data: new Float32Array(2) }"));
    await writeFile(join(folder, "bad.ts"), use("y: { shape: [1, 2], data: new Float32Array(2) }"));
    expect(errorsOf(join(folder, "good.ts"))).toEqual([]);
    expect(errorsOf(join(folder, "bad.ts"))[0]).toContain("'y' does not exist");
  }, 60_000);

  test("what is wrong has its line", async () => {
    await put({ "models/cut/1/model.onnx": model.subarray(0, 30), "py/p/1/model.py": "", "py/p/config.pbtxt": 'backend: "python"' });
    for (const [args, code, reason] of [
      [[], 2, "Say whose types"],
      [["models", "--url", "http://127.0.0.1:1"], 2, "Say whose types"],
      [["nowhere"], 1, "There is no folder"],
      [["models"], 1, "The model 'cut' would not load"],
      [["py"], 1, "its tensors are only known when it is loaded"],
      [["--url", "http://127.0.0.1:1"], 1, "127.0.0.1:1"],
    ] as const) {
      const result = await runCli(["triton", "types", ...args], { cwd: folder });
      expect([result.code, result.stdout, result.stderr.split("\n").length], args.join(" ")).toEqual([code, "", 2]);
      expect(result.stderr).toContain(reason);
    }
  });
});

function errorsOf(file: string): string[] {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    allowImportingTsExtensions: true,
    types: [],
    typeRoots: [join(root, "node_modules/@types")],
  };
  const program = ts.createProgram([file], options);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
}
