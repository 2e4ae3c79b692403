import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { ServableError } from "../../errors.ts";
import { staysInside } from "../rules/problem.ts";
import { isGone, readTextInside, reasonOf, resolveInside } from "./inside.ts";
import { checkModelName, isModelName } from "./model-name.ts";

/** A folder that holds a model: its configuration and its versions. */
export interface ModelFolder {
  readonly name: string;
  /** Its real path. */
  readonly path: string;
  /** What config.pbtxt says; undefined where there is none. */
  readonly configText: string | undefined;
  /** The numbers of its versions, from the lowest up. */
  readonly versions: readonly number[];
  /** Folders that look as if they were meant as versions but are not taken as such. */
  readonly ignored: readonly string[];
}

/** Folders of a model that hold something else than a version. */
const special: ReadonlySet<string> = new Set(["warmup", "initial_state", "configs"]);

const maxConfigBytes = 4 * 1024 * 1024;

/** As many as any repository has; more would be a folder that is none. */
const maxEntries = 100_000;

/**
 * The names of the models in a repository: its folders, in order. What begins with a dot is no model.
 *
 * @throws ServableError `load_failed` where the repository can't be read.
 */
export async function listModels(repository: string): Promise<readonly string[]> {
  const names = await foldersIn(repository).catch((error: unknown) => {
    const why = isGone(error) ? "it does not exist" : reasonOf(error);
    throw new ServableError("load_failed", `The model repository can't be read: ${why}.`, { cause: error });
  });
  return names.filter(isModelName);
}

/**
 * Reads a model's folder: its configuration as text and the numbers of its versions.
 *
 * @param configName - of a configuration that a model may have beside its usual one, `configs/<configName>.pbtxt`, and which is then taken instead
 * @throws ServableError `not_found` where there is none, `load_failed` where it can't be read or leaves the repository, `invalid_request` for a name
 * that is none.
 */
export async function readModelFolder(repository: string, name: string, configName?: string): Promise<ModelFolder> {
  checkModelName(name);
  const folder = await resolveInside(repository, name, `Model '${name}'`, "the repository");
  if (folder === undefined) throw new ServableError("not_found", `There is no model '${name}' in the repository.`);
  const [configText, names] = await Promise.all([
    readConfigText(folder, name, configName),
    foldersIn(folder).catch((error: unknown) => {
      const why = isGone(error) ? "its folder disappeared, or is none" : reasonOf(error);
      throw new ServableError("load_failed", `Model '${name}' can't be read: ${why}.`, { cause: error });
    }),
  ]);
  const others = names.filter((entry) => !special.has(entry) && !entry.startsWith("."));
  const versions = others.filter(isVersionName).map(Number);
  return {
    name,
    path: folder,
    configText,
    versions: versions.sort((a, b) => a - b),
    ignored: others.filter((entry) => !isVersionName(entry)),
  };
}

async function readConfigText(folder: string, model: string, configName: string | undefined): Promise<string | undefined> {
  const read = (file: string): Promise<string | undefined> => readTextInside(folder, file, `${file} of model '${model}'`, maxConfigBytes);
  const own = configName === undefined ? undefined : await read(`configs/${configName}.pbtxt`);
  return own ?? read("config.pbtxt");
}

/**
 * The names in the folder of a version.
 *
 * @throws ServableError `load_failed` where it is gone (it may disappear while a model loads), can't be read, or leaves the model's folder.
 */
export async function readVersionFolder(model: ModelFolder, version: number): Promise<readonly string[]> {
  const what = `Version ${version} of model '${model.name}'`;
  const folder = await resolveInside(model.path, String(version), what);
  const gone = (cause?: unknown) =>
    new ServableError("load_failed", `${what} is gone: its folder disappeared while it was read.`, { cause });
  if (folder === undefined) throw gone();
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    throw isGone(error) ? gone(error) : new ServableError("load_failed", `${what} can't be read (${reasonOf(error)}).`, { cause: error });
  }
}

/**
 * The real path of a file of a version, such as `model.onnx`; it may also be a folder.
 *
 * @throws ServableError `load_failed` where there is none, or where it leaves the model's folder.
 */
export async function findModelFile(model: ModelFolder, version: number, filename: string): Promise<string> {
  const what = `'${filename}' of version ${version} of model '${model.name}'`;
  if (!staysInside(filename)) throw new ServableError("load_failed", `${what} must be a relative path that stays in the version's folder.`);
  // A link may lead to another place of the model.
  const found = await resolveInside(model.path, `${version}/${filename}`, what);
  if (found === undefined) throw new ServableError("load_failed", `${what} does not exist.`);
  return found;
}

/** Numbers without leading zeros, as far as numbers are exact. */
function isVersionName(name: string): boolean {
  return /^[1-9]\d*$/.test(name) && Number.isSafeInteger(Number(name));
}

/** The names of the folders in a folder, in order; links to folders count. */
async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.length > maxEntries) throw new ServableError("load_failed", `it has ${entries.length} entries; it may have ${maxEntries}`);
  const names = await Promise.all(
    entries.map(async (entry) => {
      if (!entry.isSymbolicLink()) return entry.isDirectory() ? [entry.name] : [];
      // A link that leads nowhere is no folder.
      const target = await stat(path.join(folder, entry.name)).catch(() => undefined);
      return target?.isDirectory() === true ? [entry.name] : [];
    }),
  );
  return names.flat().sort();
}
