import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeOnnx } from "../support/onnx-writer.ts";
import { blocksOf, commandsOf, type Block } from "./readme-blocks.ts";
import { Shell } from "./shell.ts";

const execute = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));
// Inside the project, so that `servable`, `zod` and the rest are found as a user finds them.
const folder = path.join(root, ".cache", "readme");
const blocks = blocksOf(await readFile(path.join(root, "README.md"), "utf8"));

/** What a block of each language goes through; a block of any other fails. */
const languages = ["ts", "sh", "json", "yaml"];
const nameOf = (block: Block, index: number): string => block.file ?? `block-${index}.${block.language}`;
const servesItself = (block: Block): boolean => block.language === "ts" && /define[A-Z]\w+\(|extends Service</.test(block.text);

describe("README.md", () => {
  const shell = new Shell(folder);

  beforeAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    // The page loads a model that its reader has; here it is a small one of the same inputs and outputs.
    await writeFile(path.join(folder, "classify.onnx"), classifier());
    await mkdir(path.join(folder, "models", "classify", "1"), { recursive: true });
    await writeFile(path.join(folder, "models", "classify", "1", "model.onnx"), classifier());
    // So is the file that it runs a service over.
    await writeFile(path.join(folder, "in.jsonl"), '{"x":1}\n{"x":2}\n');
    for (const [index, block] of blocks.entries()) {
      if (block.language === "ts" || block.file !== undefined) await writeFile(path.join(folder, nameOf(block, index)), `${block.text}\n`);
    }
  });
  afterAll(async () => {
    await shell.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("has blocks, each of a language that is run here", () => {
    expect(blocks.length).toBeGreaterThan(0);
    const strange = blocks.filter((block) => !languages.includes(block.language));
    expect(strange.map((block) => `line ${block.line}: '${block.language}'`)).toEqual([]);
    const files = blocks.map((block, index) => nameOf(block, index));
    expect(files).toEqual([...new Set(files)]);
  });

  test("its TypeScript compiles", async () => {
    const options = { noUnusedLocals: false, noUnusedParameters: false, isolatedDeclarations: false };
    const config = { extends: "../../tsconfig.json", compilerOptions: options, include: ["*.ts", "*.mts"], exclude: [] };
    await writeFile(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
    const { stdout } = await execute(process.execPath, [tsc, "-p", folder]).catch((error: unknown) => error as { stdout: string });
    expect(stdout).toBe("");
  });

  for (const [index, block] of blocks.entries()) {
    if (!servesItself(block)) continue;
    test(`line ${block.line}: ${nameOf(block, index)} can be served`, async () => {
      // One that wants a Triton beside it gets this package's own, over the models that the page serves.
      const triton = block.text.includes("localTriton()") ? new Shell(folder) : undefined;
      const environment = triton && { SERVABLE_TRITON_HTTP: await triton.serveModels(["--model-repository", "./models"]) };
      const url = await shell.serve(["serve", `./${nameOf(block, index)}`], folder, environment);
      const response = await fetch(`${url}/openapi.json`);
      const { paths } = (await response.json()) as { paths: Record<string, unknown> };
      const names = [...block.text.matchAll(/\bname: "([\w-]+)"/g)].map(([, name]) => `/${name ?? ""}`);
      expect(Object.keys(paths)).toEqual(expect.arrayContaining(names));
      if (triton !== undefined) {
        const body = JSON.stringify({ features: Array.from({ length: 64 }, () => 1) });
        const headers = { "content-type": "application/json" };
        const answer = await fetch(`${url}${names[0] ?? ""}`, { method: "POST", headers, body });
        // Of equal features all scores are.
        expect(await answer.json()).toEqual({ scores: Array.from({ length: 64 }, () => 1 / 64) });
      }
      await shell.close();
      await triton?.close();
    });
  }

  // Commands build on each other (a server that is started is called by the next block), so they run in the page's order.
  let printed: string | undefined;
  for (const block of blocks) {
    if (block.language === "sh") {
      test(`line ${block.line}: its commands run`, async () => {
        shell.return();
        const commands = commandsOf(block.text);
        expect(commands).not.toEqual([]);
        for (const command of commands) {
          printed = await shell.run(command);
          if (command.prints !== undefined) expect(JSON.parse(printed)).toEqual(JSON.parse(command.prints));
        }
      });
    } else if (block.language === "json") {
      test(`line ${block.line}: is what the command before it printed`, () => {
        expect(printed, "a json block comes after a command that prints JSON").toBeDefined();
        expect(JSON.parse(printed ?? "")).toEqual(about(JSON.parse(block.text)));
      });
    }
  }
});

function classifier(): Uint8Array {
  return writeOnnx({
    inputs: [{ name: "features", dataType: "FP32", shape: ["batch", 64] }],
    outputs: [{ name: "scores", dataType: "FP32", shape: ["batch", 64] }],
    nodes: [{ op: "Softmax", inputs: ["features"], outputs: ["scores"] }],
  });
}

/** Matches what a page shows of an answer: texts and keys as they are, numbers nearly (a model's scores), and lists from their start. */
function about(shown: unknown): unknown {
  if (typeof shown === "number")
    return { asymmetricMatch: (seen: unknown) => typeof seen === "number" && near(seen, shown), toString: () => `≈ ${shown}` };
  if (Array.isArray(shown)) {
    return {
      asymmetricMatch: (seen: unknown) => Array.isArray(seen) && startsLike(seen, shown),
      toString: () => `[${JSON.stringify(shown)}…]`,
    };
  }
  if (typeof shown !== "object" || shown === null) return shown;
  return expect.objectContaining(Object.fromEntries(Object.entries(shown).map(([key, value]) => [key, about(value)])));
}

function near(seen: number, shown: number): boolean {
  if (!Number.isInteger(shown)) return Math.abs(seen - shown) <= 0.02;
  return Math.abs(shown) < 10 ? seen === shown : Math.abs(seen - shown) <= Math.max(2, Math.abs(shown) * 0.02);
}

function startsLike(seen: readonly unknown[], shown: readonly unknown[]): boolean {
  try {
    expect(seen.slice(0, shown.length)).toEqual(shown.map(about));
    return true;
  } catch {
    return false;
  }
}
