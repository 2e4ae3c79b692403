import { copyFile, link, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { ServableError, messageOf } from "../../errors.ts";
import { parseModelConfig } from "../../triton/parse-pbtxt.ts";
import { listModels, readModelFolder } from "../../triton/repository/model-folder.ts";
import { writeModelConfig } from "../../triton/write-pbtxt.ts";
import { withReplication, type ModelReplication } from "./replication.ts";

/** A repository has fewer; more means a folder that is none, or links that run in a circle. */
const mostEntries = 100_000;
const deepest = 32;

/**
 * Makes a repository that is this process's own to write in: the same files (linked where the file system can, else copied), with the
 * replication of models in their configurations.
 *
 * @throws ServableError `invalid_config` for a replication that doesn't fit; `load_failed` for what can't be read or written
 */
export async function makeOwnRepository(
  source: string,
  target: string,
  replication: Readonly<Record<string, ModelReplication>>,
): Promise<void> {
  const configs = await replicatedConfigs(source, replication);
  try {
    await copyTree(source, target, { entries: 0 }, 0);
    for (const [name, text] of configs) {
      const file = path.join(target, name, "config.pbtxt");
      // The file may be one with the source's; written in place it would change there, too.
      await rm(file, { force: true });
      await writeFile(file, text);
    }
  } catch (thrown) {
    if (ServableError.isInstance(thrown)) throw thrown;
    throw new ServableError("load_failed", `The model repository ${source} can't be copied: ${messageOf(thrown)}`, { cause: thrown });
  }
}

async function replicatedConfigs(
  source: string,
  replication: Readonly<Record<string, ModelReplication>>,
): Promise<ReadonlyMap<string, string>> {
  const models = await listModels(source);
  const configs = new Map<string, string>();
  for (const [name, instances] of Object.entries(replication)) {
    if (!models.includes(name)) {
      throw new ServableError(
        "invalid_config",
        `modelNamesToReplication names the model '${name}', which is not in the repository. There are: ${models.join(", ") || "none"}.`,
      );
    }
    const { configText = "" } = await readModelFolder(source, name);
    configs.set(name, writeModelConfig(withReplication(readConfig(name, configText), name, instances)));
  }
  return configs;
}

function readConfig(name: string, text: string): ReturnType<typeof parseModelConfig> {
  try {
    return parseModelConfig(text);
  } catch (thrown) {
    throw new ServableError("invalid_config", `config.pbtxt of model '${name}': ${messageOf(thrown)}`, { cause: thrown });
  }
}

async function copyTree(source: string, target: string, count: { entries: number }, depth: number): Promise<void> {
  if (depth > deepest) throw new ServableError("load_failed", `The model repository is deeper than ${deepest} folders, at ${source}.`);
  await mkdir(target, { recursive: true });
  for (const name of await readdir(source)) {
    count.entries += 1;
    if (count.entries > mostEntries) throw new ServableError("load_failed", `The model repository has more than ${mostEntries} entries.`);
    const [from, to] = [path.join(source, name), path.join(target, name)];
    // Links are followed, as the server itself would.
    const facts = await stat(from);
    if (facts.isDirectory()) await copyTree(from, to, count, depth + 1);
    else if (facts.isFile()) await linkOrCopy(from, to);
    else throw new ServableError("load_failed", `${from} is neither a file nor a folder, which a model repository is made of.`);
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    // Another file system, or one without links.
    await copyFile(from, to);
  }
}
