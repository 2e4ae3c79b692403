/**
 * Servers are measured as plain JavaScript: what translates TypeScript while they run (a process and a thread of its own) would count as
 * theirs. Types were checked by then, so that one file is translated at a time.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";

const bench = fileURLToPath(new URL("..", import.meta.url));
// In the checkout, so that `servable` means this one.
const target = path.join(bench, "..", ".cache", "bench");

/** Translates folders of the bench; gives what finds the JavaScript of a file, by its path in the bench. */
export function compile(folders: readonly string[]): (file: string) => URL {
  rmSync(target, { recursive: true, force: true });
  for (const folder of folders) {
    for (const entry of readdirSync(path.join(bench, folder))) {
      if (!entry.endsWith(".ts")) continue;
      const { outputText } = ts.transpileModule(readFileSync(path.join(bench, folder, entry), "utf8"), {
        fileName: entry,
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          verbatimModuleSyntax: true,
          rewriteRelativeImportExtensions: true,
        },
      });
      mkdirSync(path.join(target, folder), { recursive: true });
      writeFileSync(path.join(target, folder, entry.replace(/\.ts$/, ".js")), outputText);
    }
  }
  return (file) => pathToFileURL(path.join(target, file.replace(/\.ts$/, ".js")));
}
