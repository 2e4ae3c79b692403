import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { ServableError } from "../errors.ts";

/** A model's folder as it was found. */
export interface ModelFolder {
  readonly path: string;
  /** Changes when anything but its versions does: the configuration, labels, data of warm-ups. */
  readonly stamp: string;
  /** What is in each version, as a text that changes when that does; by version. */
  readonly versions: ReadonlyMap<string, string>;
}

/** As much of a folder as is looked at; one with more in it is no model's. */
const mostEntries = 10_000;
const deepest = 8;

/** Whether a name can be that of a model: one folder, right in its repository. */
export function isModelName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name) && name.length <= 255;
}

/** The models of a repository: its folders. @throws ServableError `load_failed` where it can't be read */
export async function modelNames(repository: string): Promise<readonly string[]> {
  const entries = await readdir(repository, { withFileTypes: true }).catch((error: unknown) => {
    throw new ServableError("load_failed", `The model repository ${repository} can't be read (${codeOf(error)}).`, { cause: error });
  });
  const names: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".") || !isModelName(entry.name)) continue;
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(join(repository, entry.name))))) names.push(entry.name);
  }
  return names.sort();
}

/** Looks at a model's folder; undefined where there is none. */
export async function scanModel(path: string): Promise<ModelFolder | undefined> {
  if (!(await isFolder(path))) return undefined;
  const versions = new Map<string, string>();
  const rest: string[] = [];
  const budget = { left: mostEntries };
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const full = join(path, entry.name);
    // A number without leading zeros; other folders are the model's own business.
    if (/^[1-9]\d{0,17}$/.test(entry.name) && (await isFolder(full))) versions.set(entry.name, await stampOf(full, budget, 0));
    else rest.push(await stampOf(full, budget, 0));
  }
  return { path, stamp: rest.sort().join("\n"), versions };
}

async function stampOf(path: string, budget: { left: number }, depth: number): Promise<string> {
  budget.left -= 1;
  // What goes while it is looked at has changed, and is looked at again.
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined || budget.left < 0) return `${path}:gone`;
  if (!found.isDirectory() || depth >= deepest) return `${path}:${found.mtimeNs}:${found.size}:${found.ino}`;
  const names = await readdir(path).catch(() => []);
  const parts: string[] = [path];
  for (const name of names.sort()) parts.push(await stampOf(join(path, name), budget, depth + 1));
  return parts.join("\n");
}

/** A file that must be in a folder. @throws ServableError `invalid_config` where its name leads out of it */
export function fileIn(folder: string, name: string, what: string): string {
  const path = resolve(folder, name);
  const within = relative(folder, path);
  if (within !== "" && within !== ".." && !within.startsWith(`..${sep}`) && !isAbsolute(within) && !name.includes("\0")) return path;
  throw new ServableError("invalid_config", `${what} must be in the model's folder, and '${name}' is not`);
}

/** Writes the files of a load that brings its own into a folder of its own. @returns the folder, and how to remove it */
export async function writeModelFolder(
  name: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "servable-model-"));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    const path = join(root, name);
    await mkdir(path);
    for (const [file, content] of files) {
      const target = fileIn(path, file, "A file of a load");
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
    }
    return { path, remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** The system's word for what went wrong with a file. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown";
}
