import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ServableError } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import { modelConfigFromJson } from "../triton/config-from-json.ts";
import { modelConfigToJson } from "../triton/config-to-json.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { parseModelConfig } from "../triton/parse-pbtxt.ts";
import { readLabels } from "../triton/repository/labels.ts";
import { findModelFile, readVersionFolder, type ModelFolder } from "../triton/repository/model-folder.ts";
import { noVersionError, selectVersions } from "../triton/repository/versions.ts";
import { compareWithModel } from "../triton/rules/compare.ts";
import { completeModelConfig } from "../triton/rules/complete.ts";
import { withConfigDefaults } from "../triton/rules/defaults.ts";
import { problemsError, type ConfigFacts } from "../triton/rules/problem.ts";
import { validateModelConfig } from "../triton/rules/validate.ts";
import { probeOnnx } from "./backend/onnx-probe.ts";
import { completeFromDeclaration } from "./backend/typescript-declared.ts";
import { isDecoupled, placementOf } from "./backend/typescript-plan.ts";
import { probeTypeScript } from "./backend/typescript-probe.ts";
import type { Labels } from "./build-response.ts";
import { DecoupledVersion } from "./decoupled-version.ts";
import { EnsembleVersion, type EnsembleVersionOptions } from "./ensemble-version.ts";
import type { Limiter } from "./limiter.ts";
import type { WantedVersion } from "./model-entry.ts";
import type { ModelStamp } from "./model-stamp.ts";
import { ModelVersion } from "./model-version.ts";
import type { RateLimiter } from "./rate-limiter.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { ResolvedRepositoryOptions } from "./options.ts";

/** What {@link prepareModel} works with. */
export interface Preparation {
  readonly folder: ModelFolder;
  readonly stamp: ModelStamp;
  /** A configuration, as JSON text, instead of the folder's. */
  readonly configJson: string | undefined;
  readonly options: ResolvedRepositoryOptions;
  readonly log: EngineLogger;
  readonly loads: Limiter;
  readonly cache: ResponseCache | undefined;
  readonly rateLimiter: RateLimiter | undefined;
  /** Finds the models of an ensemble. */
  readonly find: EnsembleVersionOptions["find"];
}

/** A model that can be loaded. */
export interface PreparedModel {
  readonly versions: readonly WantedVersion[];
  /** The models that must be there before it. */
  readonly dependencies: readonly string[];
}

/**
 * Reads a model's configuration, fills in what it leaves out, and says which versions are to be loaded. What is wrong with one version, or
 * with the model itself, fails the load of that version.
 *
 * @throws ServableError where the configuration is wrong; InferenceError `INVALID_ARG` where there is no version
 */
export async function prepareModel(preparation: Preparation): Promise<PreparedModel> {
  const { folder, options, log } = preparation;
  const { name } = folder;
  const written = readConfig(preparation);
  const { versions, missing } = selectVersions(written.versionPolicy, folder.versions);
  if (missing.length > 0) log.warn({ model: name, versions: missing }, "versions that version_policy names are not there");
  const newest = versions.at(-1);
  if (newest === undefined) throw new InferenceError("INVALID_ARG", `load failed for model '${name}': ${noVersionError(name).message}\n`);
  const facts: ConfigFacts = { name, gpus: options.gpus, files: await filesOf(folder, newest) };
  const filled = withConfigDefaults(written, facts);
  // What is written in TypeScript also tells whether it is decoupled.
  const isTypeScript = filled.backend === "typescript" && filled.ensembleScheduling === undefined;
  const gaps = options.autoComplete && (isTypeScript || (filled.backend === "onnxruntime" && lacksTensors(filled)));
  if (!gaps) check(filled, facts);
  const completed = gaps ? await settled(complete(preparation, filled, newest)) : { value: filled };
  const config = completed.value === undefined ? filled : withConfigDefaults(completed.value, facts);
  if (gaps && completed.value !== undefined) check(config, facts);
  const labels = completed.value === undefined ? new Map<string, readonly string[]>() : await labelsOf(config, folder);
  const limits = { maxPendingRequests: options.maxPendingRequests, deadlineMs: options.deadlineMs, gpus: options.gpus };
  const wanted = await Promise.all(
    versions.map(async (version): Promise<WantedVersion> => {
      const isEnsemble = config.ensembleScheduling !== undefined;
      const file = completed.value === undefined || isEnsemble ? completed : await settled(modelFile(config, folder, version));
      return {
        version: String(version),
        stamp: `${modelConfigToJson(config)}\n${preparation.stamp.common}\n${preparation.stamp.versions.get(version) ?? ""}`,
        make: () => {
          if (isEnsemble) return new EnsembleVersion({ version: String(version), config, labels, limits, log, find: preparation.find });
          if (typeof file.value !== "string") throw file.reason;
          const common = { version: String(version), config, folder: folder.path, file: file.value, labels, limits, log };
          const { cache, rateLimiter } = preparation;
          if (isTypeScript && isDecoupled(config)) {
            const isLimited = (config.instanceGroup ?? []).some((group) => (group.rateLimiter?.resources ?? []).length > 0);
            if (rateLimiter !== undefined && isLimited) log.warn({ model: name }, "rate limiters of decoupled models are not heeded");
            return new DecoupledVersion(common);
          }
          return new ModelVersion({
            ...common,
            cache,
            rateLimiter,
            onLoaded: (specs) => {
              // A model in TypeScript compares itself.
              const problems = isTypeScript ? [] : compareWithModel(config, specs);
              if (problems.length > 0) throw problemsError(name, problems);
            },
          });
        },
      };
    }),
  );
  return { versions: wanted, dependencies: dependenciesOf(config) };
}

/** The models that an ensemble is made of; of other models none. */
export function dependenciesOf({ ensembleScheduling }: ModelConfig): readonly string[] {
  return [...new Set((ensembleScheduling?.step ?? []).map(({ modelName = "" }) => modelName))];
}

type Settled<T> = { readonly value: T; readonly reason?: undefined } | { readonly value?: undefined; readonly reason: unknown };

async function settled<T>(promise: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await promise };
  } catch (reason) {
    return { reason };
  }
}

function readConfig({ folder, configJson, options }: Preparation): ModelConfig {
  if (configJson !== undefined) return modelConfigFromJson(configJson);
  if (folder.configText !== undefined) return parseModelConfig(folder.configText);
  if (options.autoComplete) return {};
  throw new ServableError(
    "load_failed",
    `model '${folder.name}' has no config.pbtxt, and nothing is to be taken from the model itself (auto-complete is off)`,
  );
}

/** What is in a version; a version that is gone by now fails when it is loaded. */
async function filesOf(folder: ModelFolder, version: number): Promise<readonly string[]> {
  return readVersionFolder(folder, version).catch(() => []);
}

function lacksTensors({ input = [], output = [] }: ModelConfig): boolean {
  return input.length === 0 || output.length === 0;
}

function check(config: ModelConfig, facts: ConfigFacts): void {
  const problems = validateModelConfig(config, facts);
  if (problems.length > 0) throw problemsError(facts.name, problems);
  const { backend = "", name = "" } = config;
  if (config.ensembleScheduling !== undefined || backend === "typescript") return;
  if (backend !== "onnxruntime") {
    throw new ServableError(
      "invalid_config",
      `model '${name}' wants the backend '${backend}', and there are 'onnxruntime' and 'typescript' only`,
    );
  }
  if (isDecoupled(config)) {
    throw new ServableError(
      "invalid_config",
      `model '${name}' is to be decoupled, and the backend 'onnxruntime' gives one response to each request`,
    );
  }
}

async function complete(preparation: Preparation, config: ModelConfig, version: number): Promise<ModelConfig> {
  const { folder, options, log, loads } = preparation;
  const file = await modelFile(config, folder, version);
  if (config.backend === "typescript") {
    return completeFromDeclaration(config, await loads.run(() => probeTypeScript({ file, folder: folder.path }, placementOf(config), log)));
  }
  const specs = await loads.run(() => probeOnnx(config, { file, folder: folder.path }, log));
  const completed = completeModelConfig(config, specs, { name: folder.name, defaultMaxBatchSize: options.defaultMaxBatchSize });
  if (completed.problems.length > 0) throw problemsError(folder.name, completed.problems);
  return completed.config;
}

/** The file that is loaded as a version. */
export async function modelFile({ defaultModelFilename = "" }: ModelConfig, folder: ModelFolder, version: number): Promise<string> {
  const path = await findModelFile(folder, version, defaultModelFilename === "" ? "model.onnx" : defaultModelFilename);
  // A model with its weights in files of their own is a folder of that name.
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true ? join(path, "model.onnx") : path;
}

async function labelsOf({ output = [] }: ModelConfig, folder: ModelFolder): Promise<Labels> {
  const labels = new Map<string, readonly string[]>();
  for (const { name = "", labelFilename = "" } of output) {
    if (labelFilename !== "") labels.set(name, await readLabels(folder, labelFilename));
  }
  return labels;
}
