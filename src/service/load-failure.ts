import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../errors.ts";
import { nearestKey } from "../known-keys.ts";

/**
 * Why a module could not be loaded, in one line: an import that is misspelt is told with who imports what, in the words of the one who wrote it.
 *
 * @param path - the module's file
 */
export async function loadFailureReason(thrown: unknown, path: string): Promise<string> {
  const text = messageOf(thrown);
  return (await missingName(text)) ?? missingModule(text, thrown, path) ?? `${firstLine(text)}${whereOf(thrown, path)}`;
}

/** A name that a module does not have: from Node of ES modules, and from esbuild's code where TypeScript became CommonJS. */
async function missingName(text: string): Promise<string | undefined> {
  const [, module, name] = /^The requested module '(.+)' does not provide an export named '(.+)'/.exec(text) ?? [];
  if (module !== undefined && name !== undefined) {
    return `it imports '${name}' from '${module}', which has no such export${await hintFor(module, name)}`;
  }
  const [, variable, wanted] = /\(0 ?, ?import_(\w+)\.(\w+)\) is not a (?:function|constructor)/.exec(text) ?? [];
  if (variable === undefined || wanted === undefined) return undefined;
  // esbuild makes `import_servable_http` of "servable/http", and of what is no letter in any other name the same.
  const module2 = variable.startsWith("servable") ? variable.replace("_", "/") : variable;
  return `what it imports from '${module2}' as '${wanted}' is not there, or can't be called${await hintFor(module2, wanted)}`;
}

/** Only of this package's own parts: of any other, a look at it would run it. */
async function hintFor(module: string, name: string): Promise<string> {
  if (!/^servable(\/|$)/.test(module)) return "";
  try {
    const near = nearestKey(name, Object.keys((await import(module)) as object));
    return near === undefined ? "" : `; did you mean '${near}'?`;
  } catch {
    return "";
  }
}

function missingModule(text: string, thrown: unknown, path: string): string | undefined {
  const [, wanted, importer] = /^Cannot find (?:module|package) '([^']+)'(?: imported from '?([^']+?)'?$)?/m.exec(text) ?? [];
  if (wanted === undefined) return undefined;
  const requiredBy = (thrown as { readonly requireStack?: readonly unknown[] } | null)?.requireStack?.[0];
  const from = importer ?? (typeof requiredBy === "string" ? requiredBy : path);
  const who = resolve(from) === resolve(path) ? "it" : shownFrom(from, dirname(path));
  // What Node resolved is told as it was written: from the file that imports it.
  const isPath = /^([./]|[a-z]:|file:)/i.test(wanted);
  if (isPath) return `${who} imports ${wanted.startsWith("/") ? shownFrom(wanted, dirname(from)) : wanted}, which is not there`;
  const [scope = "", name = ""] = wanted.split("/");
  const packageName = scope.startsWith("@") ? `${scope}/${name}` : scope;
  return `${who} imports '${wanted}', which is not installed: npm install ${packageName}`;
}

function shownFrom(path: string, folder: string): string {
  const shown = relative(folder, path);
  return shown.startsWith(".") ? shown : `./${shown}`;
}

/** Where a mistake in its own code is: what was thrown on purpose says by itself what is wrong. */
function whereOf(thrown: unknown, path: string): string {
  if (!(thrown instanceof TypeError || thrown instanceof ReferenceError)) return "";
  for (const line of (thrown.stack ?? "").split("\n").slice(1)) {
    const [, file, at] = /\(?((?:file:\/\/)?\/[^()]*?)(?:\?[^():]*)?:(\d+):\d+\)?$/.exec(line) ?? [];
    if (file === undefined) continue;
    const place = file.startsWith("file:") ? fileURLToPath(file) : file;
    if (place === path) return ` (line ${at ?? ""})`;
  }
  return "";
}

/** The line of a message that says what is wrong; of esbuild's, where. */
export function firstLine(text: string): string {
  const lines = text.split("\n");
  const useful = lines.find((line) => line.trim() !== "" && !line.startsWith("Transform failed")) ?? "it threw nothing that says why";
  // esbuild writes `<path>:3:5: ERROR: …`; the path is told already.
  const [, line, column, problem] = /^.*?:(\d+):(\d+): ERROR: (.*)$/.exec(useful) ?? [];
  return problem === undefined ? useful.trim() : `line ${line ?? ""}, column ${column ?? ""}: ${problem}`;
}
