import { readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { ServableError, formatPath, messageOf } from "../../errors.ts";
import { inspectModel, type InspectedModel } from "../../server/inspect/inspect-model.ts";
import { inspectRepository } from "../../server/inspect/inspect-repository.ts";
import { tritonConfigOnnxModel } from "../../server/inspect/onnx-config.ts";
import { findModelFile, listModels, readModelFolder } from "../../triton/repository/model-folder.ts";
import { print } from "./print.ts";

/** The flags of `servable triton config`. */
export interface ConfigOptions {
  readonly output?: string;
  readonly force?: true;
  readonly name?: string;
  readonly maxBatchSize?: number;
}

/** The exit code that says that something is wrong with what was checked. */
const wrongExitCode = 3;

/** Writes config.pbtxt: of a file to standard output, of folders where it is missing. */
export async function writeConfigs(target: string, options: ConfigOptions): Promise<void> {
  if (!(await isFolder(target))) {
    const config = await tritonConfigOnnxModel(target, { name: options.name, maxBatchSize: options.maxBatchSize });
    if (options.output === undefined) await print(config.asPbtext());
    else await put(options.output, config.asPbtext(), options.force === true);
    return;
  }
  if (options.output !== undefined || options.name !== undefined) {
    throw wrong(
      "--output and --name go with an .onnx file. Of a folder config.pbtxt is written into it, and the folder's name is the model's.",
    );
  }
  const { repository, models } = await modelsAt(target);
  const written: string[] = [];
  for (const model of models) {
    const folder = await readModelFolder(repository, model);
    if (folder.configText !== undefined && options.force !== true) {
      await print(`${path.join(folder.path, "config.pbtxt")} is there already (--force writes over it)\n`);
      continue;
    }
    const newest = folder.versions.at(-1);
    if (newest === undefined)
      throw new ServableError("load_failed", `The model '${model}' has no version: its file belongs into ${model}/1/.`);
    const file = await findModelFile(folder, newest, "model.onnx");
    const onnx = (await isFolder(file)) ? path.join(file, "model.onnx") : file;
    const config = await tritonConfigOnnxModel(onnx, { name: model, maxBatchSize: options.maxBatchSize });
    const place = path.join(folder.path, "config.pbtxt");
    await put(place, config.asPbtext(), options.force === true);
    written.push(place);
  }
  for (const place of written) await print(`wrote ${place}\n`);
}

/** Says all that is wrong with a repository or a model, and ends with 3 where something is. */
export async function checkConfigs(target: string, options: ConfigOptions): Promise<void> {
  if (options.output !== undefined || options.force !== undefined || options.name !== undefined || options.maxBatchSize !== undefined) {
    throw wrong("--check writes nothing: --output, --force, --name and --max-batch-size don't go with it.");
  }
  if (!(await isFolder(target))) throw wrong(`${target} is a file: --check takes a repository, or the folder of a model.`);
  const { repository, models, isRepository } = await modelsAt(target);
  const found = isRepository
    ? await inspectRepository(repository)
    : await Promise.all(models.map((name) => inspectModel(repository, name)));
  await print(found.map(report).join(""));
  const bad = found.filter(({ problems }) => problems.length > 0).length;
  const count = `${found.length} ${found.length === 1 ? "model" : "models"}`;
  await print(bad === 0 ? `${count}: all fine\n` : `${count}: ${bad} would not load\n`);
  if (bad > 0) process.exitCode = wrongExitCode;
}

function report({ name, problems, remarks }: InspectedModel): string {
  const lines = [
    ...problems.map(({ path: field, message }) => (field.length === 0 ? `error: ${message}` : `error: ${formatPath(field)}: ${message}`)),
    ...remarks.map((remark) => `note: ${remark}`),
  ];
  return lines.map((line) => `${name}: ${line.replaceAll(/\s*\n\s*/g, " ").trim()}\n`).join("");
}

interface Models {
  readonly repository: string;
  readonly models: readonly string[];
  readonly isRepository: boolean;
}

/** A folder with a config.pbtxt or a version in it is a model's; any other is a repository. */
async function modelsAt(target: string): Promise<Models> {
  const folder = path.resolve(target);
  const entries = await readdir(folder, { withFileTypes: true });
  const isModel = entries.some((entry) => entry.name === "config.pbtxt" || (/^[1-9]\d*$/.test(entry.name) && !entry.isFile()));
  if (isModel) return { repository: path.dirname(folder), models: [path.basename(folder)], isRepository: false };
  const models = await listModels(folder);
  if (models.length === 0) throw wrong(`${target} holds no model: a repository has a folder for each one.`);
  return { repository: folder, models, isRepository: true };
}

async function isFolder(target: string): Promise<boolean> {
  try {
    return (await stat(target)).isDirectory();
  } catch (thrown) {
    throw new ServableError("invalid_argument", `${target} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** A file is there as a whole, or not. */
async function put(file: string, text: string, isForced: boolean): Promise<void> {
  try {
    if (!isForced) {
      await writeFile(file, text, { flag: "wx" });
      return;
    }
    const partial = `${file}.${process.pid}.partial`;
    try {
      await writeFile(partial, text);
      await rename(partial, file);
    } catch (thrown) {
      await rm(partial, { force: true });
      throw thrown;
    }
  } catch (thrown) {
    const isThere = thrown instanceof Error && "code" in thrown && thrown.code === "EEXIST";
    throw wrong(isThere ? `${file} is there already; --force writes over it.` : `${file} can't be written: ${messageOf(thrown)}`);
  }
}

function wrong(message: string): ServableError {
  return new ServableError("invalid_argument", message);
}
