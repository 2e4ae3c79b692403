import { ServableError } from "../errors.ts";
import { parseModelConfig } from "../triton/parse-pbtxt.ts";
import { listModels, readModelFolder } from "../triton/repository/model-folder.ts";
import { dependenciesOf } from "./prepare-model.ts";

/** The folders of a server, as they are when somebody asks. */
export class Repositories {
  readonly #folders: readonly string[];
  readonly #configName: string | undefined;

  /** @param configName - the configuration of each model that is looked at first, as `readModelFolder` has it */
  constructor(folders: readonly string[], configName: string | undefined) {
    this.#folders = folders;
    this.#configName = configName;
  }

  /** The repository of each model; undefined of one that is in two. */
  async models(): Promise<ReadonlyMap<string, string | undefined>> {
    const found = new Map<string, string | undefined>();
    for (const folder of this.#folders) {
      for (const name of await listModels(folder)) found.set(name, found.has(name) ? undefined : folder);
    }
    return found;
  }

  /** @throws ServableError `not_found` for a model that is in no repository, or in two, which nobody can choose between */
  async of(name: string): Promise<string> {
    const folder = (await this.models()).get(name);
    if (folder !== undefined) return folder;
    throw new ServableError("not_found", `there is no model '${name}' in any repository, or one in several`);
  }

  /** Whether any of some models is made of another one, through however many ensembles, as their configurations are written. */
  areMadeOf(names: readonly string[], target: string): Promise<boolean> {
    return this.#areMadeOf(names, target, new Set());
  }

  async #areMadeOf(names: readonly string[], target: string, seen: Set<string>): Promise<boolean> {
    for (const name of names) {
      if (name === target) return true;
      if (seen.has(name)) continue;
      seen.add(name);
      if (await this.#areMadeOf(await this.#dependencies(name), target, seen)) return true;
    }
    return false;
  }

  async #dependencies(name: string): Promise<readonly string[]> {
    try {
      const { configText } = await readModelFolder(await this.of(name), name, this.#configName);
      return configText === undefined ? [] : dependenciesOf(parseModelConfig(configText));
    } catch {
      // It will not load, and so nothing waits for it.
      return [];
    }
  }
}
