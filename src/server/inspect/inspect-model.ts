import { ServableError, messageOf } from "../../errors.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { parseModelConfig } from "../../triton/parse-pbtxt.ts";
import { readLabels } from "../../triton/repository/labels.ts";
import { findModelFile, readModelFolder, readVersionFolder, type ModelFolder } from "../../triton/repository/model-folder.ts";
import { noVersionError, selectVersions } from "../../triton/repository/versions.ts";
import { compareWithModel } from "../../triton/rules/compare.ts";
import { completeModelConfig } from "../../triton/rules/complete.ts";
import { isKnownBackend } from "../../triton/rules/platforms.ts";
import { withConfigDefaults } from "../../triton/rules/defaults.ts";
import type { ConfigFacts, ConfigProblem } from "../../triton/rules/problem.ts";
import { validateModelConfig } from "../../triton/rules/validate.ts";
import type { LoadedSpecs } from "../model-service.ts";
import { modelFile } from "../prepare-model.ts";
import { quietLog } from "./quiet-log.ts";

/** What was found in a model's folder. */
export interface InspectedModel {
  readonly name: string;
  /** The configuration that holds, gaps filled; undefined where it can't be read. */
  readonly config: ModelConfig | undefined;
  /** All that would keep it from being loaded. */
  readonly problems: readonly ConfigProblem[];
  /** What is odd and keeps nobody from loading it. */
  readonly remarks: readonly string[];
}

/**
 * Looks at a model of a repository as a server does that loads it, and goes on where that would stop. Of ONNX models each version is loaded by
 * onnxruntime in a worker thread and compared with the configuration; of others there is only the configuration to be judged.
 */
export async function inspectModel(repository: string, name: string): Promise<InspectedModel> {
  const inspection = new Inspection();
  const config = await inspection.model(repository, name);
  return { name, config, problems: inspection.problems, remarks: inspection.remarks };
}

class Inspection {
  readonly problems: ConfigProblem[] = [];
  readonly remarks: string[] = [];

  async model(repository: string, name: string): Promise<ModelConfig | undefined> {
    const folder = await this.#trying(() => readModelFolder(repository, name));
    if (folder === undefined) return undefined;
    for (const entry of folder.ignored) this.remarks.push(`the folder '${entry}' is no version and is passed over`);
    const { configText } = folder;
    const written = configText === undefined ? {} : await this.#trying(() => Promise.resolve(parseModelConfig(configText)));
    if (written === undefined) return undefined;
    const { versions, missing } = selectVersions(written.versionPolicy, folder.versions);
    for (const version of missing) this.remarks.push(`version ${version}, which version_policy names, is not there`);
    if (versions.length === 0) this.#add([], noVersionError(name).message);
    const newest = versions.at(-1);
    const facts: ConfigFacts = { name, files: newest === undefined ? undefined : await readVersionFolder(folder, newest).catch(() => []) };
    const filled = withConfigDefaults(written, facts);
    const config = await this.#versions(folder, filled, versions, facts);
    this.problems.push(...validateModelConfig(config, facts));
    await this.#labels(folder, config);
    return config;
  }

  async #versions(folder: ModelFolder, filled: ModelConfig, versions: readonly number[], facts: ConfigFacts): Promise<ModelConfig> {
    const { backend = "", defaultModelFilename = "" } = filled;
    if (filled.ensembleScheduling !== undefined || filled.platform === "ensemble") return filled;
    if (backend !== "onnxruntime") {
      if (backend !== "" && !isKnownBackend(backend))
        this.remarks.push(`nothing is known of the backend '${backend}': only a Triton that has it installed loads the model`);
      if (defaultModelFilename !== "") {
        for (const version of versions) await this.#trying(() => findModelFile(folder, version, defaultModelFilename));
      }
      return filled;
    }
    let config = filled;
    let isComplete = (filled.input ?? []).length > 0 && (filled.output ?? []).length > 0;
    // The newest one tells what the configuration leaves out.
    for (const version of [...versions].reverse()) {
      const specs = await this.#load(folder, filled, version);
      if (specs === undefined) continue;
      if (isComplete) {
        this.#addAll(compareWithModel(config, specs), versions.length > 1 ? version : undefined);
        continue;
      }
      const completed = completeModelConfig(filled, specs, { name: facts.name });
      this.#addAll(completed.problems, undefined);
      config = withConfigDefaults(completed.config, facts);
      isComplete = completed.problems.length === 0;
    }
    return config;
  }

  async #load(folder: ModelFolder, config: ModelConfig, version: number): Promise<LoadedSpecs | undefined> {
    return this.#trying(async () => {
      const file = await modelFile(config, folder, version);
      const { probeOnnx } = await import("../backend/onnx-probe.ts");
      return probeOnnx(config, { file, folder: folder.path }, quietLog);
    });
  }

  async #labels(folder: ModelFolder, { output = [] }: ModelConfig): Promise<void> {
    for (const [index, { labelFilename = "" }] of output.entries()) {
      if (labelFilename !== "") await this.#trying(() => readLabels(folder, labelFilename), ["output", index, "label_filename"]);
    }
  }

  async #trying<T>(work: () => Promise<T>, path: ConfigProblem["path"] = []): Promise<T | undefined> {
    try {
      return await work();
    } catch (thrown) {
      if (ServableError.isInstance(thrown) && thrown.code === "missing_dependency") throw thrown;
      this.#add(path, messageOf(thrown));
      return undefined;
    }
  }

  #addAll(problems: readonly ConfigProblem[], version: number | undefined): void {
    const which = version === undefined ? "" : ` (version ${version})`;
    for (const { path, message } of problems) this.#add(path, `${message}${which}`);
  }

  #add(path: ConfigProblem["path"], message: string): void {
    this.problems.push({ path, message });
  }
}
