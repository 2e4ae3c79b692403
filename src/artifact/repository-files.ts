import { stat } from "node:fs/promises";
import { ServableError } from "../errors.ts";
import { filesBeneath } from "../storage/archive/folder-files.ts";
import type { ArchiveFile } from "../storage/archive/pack.ts";
import { bytesSource, fileSource } from "../storage/sources.ts";
import { listModels, readModelFolder } from "../triton/repository/model-folder.ts";
import { checkModelName } from "../triton/repository/model-name.ts";
import { TritonModelConfig } from "../triton/triton-model-config.ts";

/** A model that goes into a repository. */
export interface ArtifactModel {
  readonly config: TritonModelConfig;
  /** What is in its folder besides config.pbtxt, by path, such as `1/model.onnx`: a file or folder on this machine, or the content itself. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

/** What a repository is made of: its models, and what of it goes into the archive. */
export interface RepositoryContent {
  readonly configs: readonly TritonModelConfig[];
  readonly files: readonly ArchiveFile[];
}

/**
 * Lays models out as a repository: `mlp/config.pbtxt`, `mlp/1/model.onnx`. Nothing is copied: the files are read where they are when they are packed.
 *
 * @throws ServableError `invalid_argument` for a file that is not there, or a model without a version
 */
export async function layOut(models: readonly ArtifactModel[]): Promise<RepositoryContent> {
  const files: ArchiveFile[] = [];
  for (const { config, files: own } of models) {
    checkModelName(config.name);
    const paths = Object.keys(own);
    // An ensemble has no file, and Triton still wants a folder of its version, which an archive of files can't hold empty.
    if (!paths.some((path) => /^[1-9]\d*\//.test(path) || /^[1-9]\d*$/.test(path)) && config.config.ensembleScheduling === undefined) {
      throw new ServableError(
        "invalid_argument",
        `The model '${config.name}' has no file of a version: files must be like { "1/model.onnx": "…" }.`,
      );
    }
    if (paths.includes("config.pbtxt")) {
      throw new ServableError(
        "invalid_argument",
        `The config.pbtxt of the model '${config.name}' is written from its config: leave it out of files.`,
      );
    }
    files.push({ path: `${config.name}/config.pbtxt`, source: bytesSource(Buffer.from(config.asPbtext())) });
    if (paths.length === 0) files.push({ path: `${config.name}/1/.keep`, source: bytesSource(new Uint8Array()) });
    for (const [path, content] of Object.entries(own)) files.push(...(await filesAt(`${config.name}/${path}`, content)));
  }
  return { configs: models.map(({ config }) => config), files };
}

async function filesAt(path: string, content: string | Uint8Array): Promise<readonly ArchiveFile[]> {
  if (typeof content !== "string") return [{ path, source: bytesSource(content) }];
  const facts = await stat(content).catch((thrown: unknown) => {
    throw new ServableError("invalid_argument", `${path} would be ${content}, which can't be read.`, { cause: thrown });
  });
  if (!facts.isDirectory()) return [{ path, source: await fileSource(content), executable: (facts.mode & 0o100) !== 0 }];
  const found = await filesBeneath(content);
  return found.map((file) => ({ ...file, path: `${path}/${file.path}` }));
}

/**
 * Takes a repository that is a folder already, as it is; what is beside its models, or begins with a dot there, stays out.
 *
 * @throws ServableError `invalid_config` for a configuration that Triton would refuse, `invalid_argument` where there is no model
 */
export async function readRepository(folder: string): Promise<RepositoryContent> {
  const names = await listModels(folder);
  if (names.length === 0)
    throw new ServableError("invalid_argument", `${folder} holds no model: a model repository has a folder for each one.`);
  const configs: TritonModelConfig[] = [];
  const files: ArchiveFile[] = [];
  for (const name of names) {
    const model = await readModelFolder(folder, name);
    // Without a config.pbtxt the server takes it from the model.
    configs.push(model.configText === undefined ? new TritonModelConfig({ name }) : TritonModelConfig.parsePbtext(model.configText, name));
    const found = await filesBeneath(model.path, folder);
    files.push(...found.map((file) => ({ ...file, path: `${name}/${file.path}` })));
  }
  return { configs, files };
}
