import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ServableError } from "../errors.ts";
import { checkModelName } from "../triton/repository/model-name.ts";
import { staysInside } from "../triton/rules/problem.ts";
import type { ModelFolder } from "../triton/repository/model-folder.ts";

/** What is in a model's folder, as texts that change when it does. */
export interface ModelStamp {
  /** Of everything but the versions: the configuration, labels, data of warm-ups. */
  readonly common: string;
  /** Of each version, by its number. */
  readonly versions: ReadonlyMap<number, string>;
}

/** As much of a folder as is looked at; what has more in it is not told apart behind that. */
const mostEntries = 10_000;
const deepest = 8;

/** Looks at a model's folder, by times and sizes; nothing is read. */
export async function stampOf({ path, versions }: ModelFolder): Promise<ModelStamp> {
  const budget = { left: mostEntries };
  const names = new Set(versions.map(String));
  const rest = (await readdir(path).catch(() => [])).filter((name) => !names.has(name)).sort();
  const common: string[] = [path];
  for (const name of rest) common.push(await entryStamp(join(path, name), budget, 0));
  const stamps = new Map<number, string>();
  for (const version of versions) stamps.set(version, await entryStamp(join(path, String(version)), budget, 0));
  return { common: common.join("\n"), versions: stamps };
}

async function entryStamp(path: string, budget: { left: number }, depth: number): Promise<string> {
  budget.left -= 1;
  // What goes while it is looked at has changed, and is looked at again.
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined || budget.left < 0) return `${path}:gone`;
  if (!found.isDirectory() || depth >= deepest) return `${path}:${found.mtimeNs}:${found.size}:${found.ino}`;
  const parts: string[] = [path];
  for (const name of (await readdir(path).catch(() => [])).sort()) parts.push(await entryStamp(join(path, name), budget, depth + 1));
  return parts.join("\n");
}

/** Files that a load brought along, in a folder of their own. */
export interface BroughtFiles {
  /** The repository that they make. */
  readonly repository: string;
  remove(): Promise<void>;
}

/**
 * Writes the files of a load that brings its own.
 *
 * @throws ServableError `invalid_request` for a name that is no folder's, or a path that leads out of the model's folder
 */
export async function writeModelFolder(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<BroughtFiles> {
  checkModelName(name);
  for (const file of files.keys()) {
    if (!staysInside(file)) throw new ServableError("invalid_request", `the file '${file}' of a load must stay in the model's folder`);
  }
  const repository = await mkdtemp(join(tmpdir(), "servable-model-"));
  const remove = (): Promise<void> => rm(repository, { recursive: true, force: true });
  try {
    for (const [file, content] of files) {
      const target = join(repository, name, file);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
    }
    return { repository, remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
