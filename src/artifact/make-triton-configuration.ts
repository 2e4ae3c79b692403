import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import type { ArchiveFormat } from "../storage/archive/pack.ts";
import { openStorage, storageKeys, type StorageOptions } from "../storage/open-storage.ts";
import type { Storage } from "../storage/storage.ts";
import { checkArtifactName } from "../storage/uri.ts";
import { uploadArchive, type UploadProgress } from "../storage/upload.ts";
import { layOut, readRepository, type ArtifactModel } from "./repository-files.ts";
import { RunnableTritonConfig } from "./runnable-triton-config.ts";

/** What {@link makeTritonConfiguration} takes: `models`, or a `repository` that is a folder already. */
export interface TritonConfigurationOptions {
  readonly models?: readonly ArtifactModel[] | undefined;
  /** A folder laid out as a model repository. */
  readonly repository?: string | undefined;
  /** Where the archive goes: a folder, `http(s)://…`, `s3://bucket/prefix`, or a storage of your own. */
  readonly storage: string | Storage;
  /** For storages that need to know more than a URI. */
  readonly storageOptions?: StorageOptions | undefined;
  /** The beginning of the archive's name. @default the model's name; of several, "models" */
  readonly name?: string | undefined;
  /** @default "tar.gz" */
  readonly format?: ArchiveFormat | undefined;
  /** Hears how far it is. */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const keys = {
  models: [{ config: "needed", files: "needed" } satisfies KeysOf<ArtifactModel>],
  repository: true,
  storage: "needed",
  storageOptions: storageKeys,
  name: true,
  format: true,
  onProgress: true,
  signal: true,
} satisfies KeysOf<TritonConfigurationOptions>;

/**
 * Makes a model repository of models, packs it, and writes the archive to a storage. The same models give the same archive under the same name, which
 * ends with a part of its SHA-256; the URI of the result carries the whole of it, so that whoever downloads the archive notices if it is another one.
 *
 * @throws ServableError `invalid_argument` and `invalid_config` before anything is written; what the storage throws
 *
 * @example
 * ```ts
 * import { makeTritonConfiguration, tritonConfigOnnxModel, type RunnableTritonConfig } from "servable/triton";
 *
 * export async function publish(): Promise<RunnableTritonConfig> {
 *   const config = await tritonConfigOnnxModel("./mlp.onnx", { name: "mlp" });
 *   return makeTritonConfiguration({ models: [{ config, files: { "1/model.onnx": "./mlp.onnx" } }], storage: "s3://models/production" });
 * }
 * ```
 */
export async function makeTritonConfiguration(options: TritonConfigurationOptions): Promise<RunnableTritonConfig> {
  refuseUnknownKeys(options, keys, "makeTritonConfiguration");
  const { models, repository, signal, onProgress } = options;
  if ((models === undefined) === (repository === undefined)) {
    throw new ServableError("invalid_argument", "makeTritonConfiguration takes either models or a repository.");
  }
  const storage = openStorage(options.storage, options.storageOptions);
  const content = repository === undefined ? await layOut(models ?? []) : await readRepository(repository);
  const [first, ...others] = content.configs;
  if (first === undefined) throw new ServableError("invalid_argument", "There is no model to make a configuration of.");
  const name = checkArtifactName(options.name ?? (others.length === 0 ? plain(first.name) : "models"));
  const { uri } = await uploadArchive(content.files, { storage, name, format: options.format ?? "tar.gz", signal, onProgress });
  return new RunnableTritonConfig(uri, content.configs);
}

/** A model's name may have any characters that a folder's may. */
function plain(name: string): string {
  return name.replaceAll(/[^\w.-]/g, "_").slice(0, 100);
}
