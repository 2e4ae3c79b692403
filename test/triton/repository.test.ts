import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ModelVersionPolicy } from "../../src/triton/model-config.ts";
import { readLabels } from "../../src/triton/repository/labels.ts";
import { findModelFile, listModels, readModelFolder, readVersionFolder } from "../../src/triton/repository/model-folder.ts";
import { noVersionError, selectVersions } from "../../src/triton/repository/versions.ts";

let root: string;
let models: string;

async function put(file: string, content: string | Uint8Array = ""): Promise<void> {
  const target = path.join(models, file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, content);
}

beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "servable-models-"));
  models = path.join(root, "models");
  await put("plain/1/model.onnx");
  await put("plain/3/model.onnx");
  await put("plain/20/model.onnx");
  await put("plain/config.pbtxt", 'name: "plain" # ä\n');
  for (const folder of ["02", "0", "1a", "-1", "v4", "warmup", "initial_state", "configs", ".hidden", "99999999999999999999"])
    await put(`plain/${folder}/x`);
  await put("plain/7", "a file");
  await put("plain/labels.txt", "cat\r\ndog\n\nbird\n");
  await put("plain/raw.txt", Uint8Array.of(0xff));
  await put("bare/1/model.onnx");
  await put(".git/HEAD");
  await put("README.md");
  await mkdir(path.join(root, "outside/1"), { recursive: true });
  await writeFile(path.join(root, "outside/secret.txt"), "secret");
  await symlink(path.join(root, "outside"), path.join(models, "away"));
  await mkdir(path.join(root, "models-of-others/1"), { recursive: true });
  await symlink(path.join(root, "models-of-others"), path.join(models, "beside"));
  await symlink(path.join(models, "plain"), path.join(models, "alias"));
  await symlink(path.join(root, "nowhere"), path.join(models, "dangling"));
  await put("links/config.pbtxt.real", 'name: "links"');
  await symlink("config.pbtxt.real", path.join(models, "links/config.pbtxt"));
  await put("links/store/model.onnx");
  await symlink("store", path.join(models, "links/1"));
  await symlink(path.join(root, "outside/1"), path.join(models, "links/2"));
  await symlink(path.join(root, "outside/secret.txt"), path.join(models, "links/labels.txt"));
  await symlink(path.join(root, "outside/secret.txt"), path.join(models, "links/store/leak"));
  await put("leaky/1/x");
  await symlink(path.join(root, "outside/secret.txt"), path.join(models, "leaky/config.pbtxt"));
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe("a repository", () => {
  test("its folders are its models", async () => {
    expect(await listModels(models)).toEqual(["alias", "away", "bare", "beside", "leaky", "links", "plain"]);
    await expect(listModels(path.join(root, "none"))).rejects.toMatchObject({
      code: "load_failed",
      message: "The model repository can't be read: it does not exist.",
    });
    await expect(listModels(path.join(models, "README.md"))).rejects.toMatchObject({ code: "load_failed" });
  });

  test("a model: its configuration and its versions", async () => {
    expect(await readModelFolder(models, "plain")).toEqual({
      name: "plain",
      path: path.join(models, "plain"),
      configText: 'name: "plain" # ä\n',
      versions: [1, 3, 20],
      ignored: ["-1", "0", "02", "1a", "99999999999999999999", "v4"],
    });
    expect(await readModelFolder(models, "bare")).toMatchObject({ configText: undefined, versions: [1] });
  });

  test("links that stay inside are followed, others are not", async () => {
    expect(await readModelFolder(models, "alias")).toMatchObject({ name: "alias", versions: [1, 3, 20] });
    const links = await readModelFolder(models, "links");
    expect(links).toMatchObject({ configText: 'name: "links"', versions: [1, 2] });
    expect(await readVersionFolder(links, 1)).toEqual(["leak", "model.onnx"]);
    expect(await findModelFile(links, 1, "model.onnx")).toBe(path.join(models, "links/store/model.onnx"));
    const leaves = (what: string, place = "the model's folder") => ({
      code: "load_failed",
      message: `${what} is a link that leaves ${place}.`,
    });
    await expect(readModelFolder(models, "away")).rejects.toMatchObject(leaves("Model 'away'", "the repository"));
    await expect(readModelFolder(models, "beside")).rejects.toMatchObject(leaves("Model 'beside'", "the repository"));
    await expect(readModelFolder(models, "leaky")).rejects.toMatchObject(leaves("config.pbtxt of model 'leaky'"));
    await expect(readVersionFolder(links, 2)).rejects.toMatchObject(leaves("Version 2 of model 'links'"));
    await expect(findModelFile(links, 1, "leak")).rejects.toMatchObject(leaves("'leak' of version 1 of model 'links'"));
    await expect(readLabels(links, "labels.txt")).rejects.toMatchObject(leaves("The label file 'labels.txt' of model 'links'"));
  });

  test.each(["", ".", "..", "../models/plain", "/etc", "plain/1", "a\\b", "plain\0", "a".repeat(256)])(
    "%j is no name of a model",
    async (name) => {
      await expect(readModelFolder(models, name)).rejects.toMatchObject({ code: "invalid_request" });
    },
  );

  test.each(["../3/model.onnx", "../../bare/1/model.onnx", "/etc/passwd", "a/../../x", "", "model\0.onnx"])(
    "%j is no file of a version",
    async (name) => {
      const plain = await readModelFolder(models, "plain");
      await expect(findModelFile(plain, 1, name)).rejects.toMatchObject({
        code: "load_failed",
        message: expect.stringContaining("relative path") as string,
      });
    },
  );

  test("what is not there", async () => {
    await expect(readModelFolder(models, "none")).rejects.toMatchObject({
      code: "not_found",
      message: "There is no model 'none' in the repository.",
    });
    await expect(readModelFolder(models, "dangling")).rejects.toMatchObject({ code: "not_found" });
    await expect(readModelFolder(models, "README.md")).rejects.toMatchObject({ code: "load_failed" });
    const plain = await readModelFolder(models, "plain");
    await expect(findModelFile(plain, 1, "model.pt")).rejects.toMatchObject({
      message: "'model.pt' of version 1 of model 'plain' does not exist.",
    });
  });

  test("a version that disappears", async () => {
    await put("fleeting/4/model.onnx");
    const model = await readModelFolder(models, "fleeting");
    await rename(path.join(models, "fleeting/4"), path.join(root, "moved"));
    const gone = { code: "load_failed", message: "Version 4 of model 'fleeting' is gone: its folder disappeared while it was read." };
    await expect(readVersionFolder(model, 4)).rejects.toMatchObject(gone);
    await writeFile(path.join(models, "fleeting/4"), "now a file");
    await expect(readVersionFolder(model, 4)).rejects.toMatchObject(gone);
    await rm(path.join(models, "fleeting"), { recursive: true });
    await expect(readVersionFolder(model, 4)).rejects.toMatchObject(gone);
    await expect(readModelFolder(models, "fleeting")).rejects.toMatchObject({ code: "not_found" });
  });

  test("a configuration that is a folder, a pipe, huge or no UTF-8", async () => {
    await put("folder/config.pbtxt/x");
    await expect(readModelFolder(models, "folder")).rejects.toMatchObject({ message: "config.pbtxt of model 'folder' is not a file." });
    await put("pipe/1/x");
    execFileSync("mkfifo", [path.join(models, "pipe/config.pbtxt")]);
    await expect(readModelFolder(models, "pipe")).rejects.toMatchObject({ message: "config.pbtxt of model 'pipe' is not a file." });
    await put("huge/config.pbtxt");
    await truncate(path.join(models, "huge/config.pbtxt"), 5 * 1024 ** 3);
    await expect(readModelFolder(models, "huge")).rejects.toMatchObject({
      code: "load_failed",
      message: expect.stringContaining("it may have 4194304") as string,
    });
    await put("bytes/config.pbtxt", Uint8Array.of(0x61, 0xff));
    await expect(readModelFolder(models, "bytes")).rejects.toMatchObject({ message: "config.pbtxt of model 'bytes' is not UTF-8." });
  });

  test("no error tells a path of this machine", async () => {
    const links = await readModelFolder(models, "links");
    const failures = [
      listModels(path.join(root, "none")),
      readModelFolder(models, "away"),
      readVersionFolder(links, 2),
      readLabels(links, "labels.txt"),
    ];
    for (const result of await Promise.allSettled(failures)) {
      expect(result.status === "rejected" && String(result.reason)).not.toContain(root);
      expect(result.status).toBe("rejected");
    }
  });
});

describe("labels", () => {
  test("one a line", async () => {
    const plain = await readModelFolder(models, "plain");
    expect(await readLabels(plain, "labels.txt")).toEqual(["cat", "dog", "", "bird"]);
    await expect(readLabels(plain, "none.txt")).rejects.toMatchObject({
      message: "The label file 'none.txt' of model 'plain' does not exist.",
    });
    await expect(readLabels(plain, "../bare/1/model.onnx")).rejects.toMatchObject({ code: "load_failed" });
    await expect(readLabels(plain, "raw.txt")).rejects.toMatchObject({
      message: "The label file 'raw.txt' of model 'plain' is not UTF-8.",
    });
  });
});

describe("the version policy", () => {
  test.each<[string, ModelVersionPolicy | undefined, number[], string[]]>([
    ["none is the latest one", undefined, [20], []],
    ["latest 2", { latest: { numVersions: 2 } }, [3, 20], []],
    ["more than there are", { latest: { numVersions: 9 } }, [1, 3, 20], []],
    ["latest 0", { latest: {} }, [], []],
    ["all", { all: {} }, [1, 3, 20], []],
    ["nothing said", {}, [1, 3, 20], []],
    ["specific", { specific: { versions: [20, 5, 1, 2n ** 62n] } }, [1, 20], ["5", "4611686018427387904"]],
  ])("%s", (_what, policy, versions, missing) => {
    expect(selectVersions(policy, [20, 1, 3])).toEqual({ versions, missing });
  });

  test("picks only what is there, the latest never older than what it leaves", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.nat({ max: 20 }), (versions, numVersions) => {
        const { versions: picked } = selectVersions({ latest: { numVersions } }, versions);
        const left = versions.filter((version) => !picked.includes(version));
        expect(picked).toHaveLength(Math.min(numVersions, new Set(versions).size));
        expect(Math.max(-1, ...left)).toBeLessThan(Math.min(Infinity, ...picked));
      }),
    );
  });

  test("nothing to serve has Triton's text", () => {
    expect(noVersionError("m").message).toBe("at least one version must be available under the version policy of model 'm'");
  });
});
