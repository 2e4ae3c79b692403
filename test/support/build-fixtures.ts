/**
 * Makes JavaScript of the services that tests start workers and commands with, once for the whole run: each start would otherwise
 * have tsx translate them anew, which takes longer than the start itself. What is about TypeScript has its own tests.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { ModuleKind, ScriptTarget, transpileModule } from "typescript";
import { builtFixture, fixtures, root } from "./fixtures.ts";

const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2023, inlineSourceMap: true, inlineSources: true };

/** Called by vitest before all tests. */
export async function setup(): Promise<void> {
  for (const fixture of fixtures) {
    const fileName = path.join(root, fixture);
    const { outputText } = transpileModule(await readFile(fileName, "utf8"), { compilerOptions, fileName });
    await mkdir(path.dirname(builtFixture(fixture)), { recursive: true });
    await writeFile(builtFixture(fixture), outputText);
  }
}
