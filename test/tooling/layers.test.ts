import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

/** The names of the layer rules that a made-up src/ breaks. */
async function broken(files: Record<string, string>): Promise<string[]> {
  const folder = await mkdtemp(path.join(tmpdir(), "layers-"));
  try {
    for (const name of [".dependency-cruiser.cjs", "tsconfig.json"]) await cp(path.join(root, name), path.join(folder, name));
    await writeFile(path.join(folder, "package.json"), JSON.stringify({ type: "module", dependencies: {} }));
    for (const [name, text] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
      await writeFile(path.join(folder, name), text);
    }
    const program = path.join(root, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs");
    const parameters = [program, "src", "--config", ".dependency-cruiser.cjs", "--output-type", "json"];
    const output = await run(process.execPath, parameters, { cwd: folder, maxBuffer: 2 ** 24 }).catch((error: unknown) => error);
    const { summary } = JSON.parse((output as { stdout: string }).stdout) as { summary: { violations: { rule: { name: string } }[] } };
    return [...new Set(summary.violations.map((violation) => violation.rule.name))].sort();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("imports that point down are fine", async () => {
  const files = {
    "src/index.ts": `export { f } from "./runtime/a.ts"; export { g } from "./client/b.ts";`,
    "src/runtime/a.ts": `import { e } from "../engine/c.ts"; export const f = e;`,
    "src/engine/c.ts": `import { s } from "../service/d.ts"; export const e = s;`,
    "src/service/d.ts": `import { x } from "../errors.ts"; export const s = x; export type S = string;`,
    "src/client/b.ts": `import type { S } from "../service/d.ts"; import { x } from "../errors.ts"; export const g = (s: S): string => s + x;`,
    "src/errors.ts": `export const x = "x";`,
  };
  expect(await broken(files)).toEqual([]);
});

test("imports that point up, aside or in a circle break a rule", async () => {
  const files = {
    "src/index.ts": `export const all = 1;`,
    "src/tensor/up.ts": `import type { S } from "../service/up.ts"; export type T = S;`,
    "src/service/up.ts": `import { all } from "../index.ts"; export type S = typeof all; export const s = 1;`,
    "src/client/aside.ts": `import { s } from "../service/up.ts"; export const c = s;`,
    "src/client/node.ts": `import { readFileSync } from "node:fs"; export const c = readFileSync;`,
    "src/engine/wire.ts": `import type { r } from "../runtime/one.ts"; export type R = typeof r;`,
    "src/runtime/one.ts": `import { two } from "./two.ts"; export const r = two;`,
    "src/runtime/two.ts": `import type { r } from "./one.ts"; export const two = 2; export type R = typeof r;`,
    "src/elsewhere/new.ts": `import { two } from "../runtime/two.ts"; export const n = two;`,
  };
  expect(await broken(files)).toEqual(
    ["client-types-only", "layer-engine", "layer-service", "layer-tensor", "no-circle", "room-without-a-rule", "runs-in-browsers"].sort(),
  );
});
