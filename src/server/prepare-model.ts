import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ServableError } from "../errors.ts";
import { Engine } from "../engine/engine.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import { modelConfigFromJson } from "../triton/config-from-json.ts";
import { modelConfigToJson } from "../triton/config-to-json.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import { parseModelConfig } from "../triton/parse-pbtxt.ts";
import { onnxLoaderSpec } from "./backend/onnx-backend.ts";
import type { Labels } from "./build-response.ts";
import { checkAgainstModel } from "./check-model.ts";
import { completeFromModel, needsModel, withDefaults } from "./config-rules.ts";
import type { Limiter } from "./limiter.ts";
import type { WantedVersion } from "./model-entry.ts";
import { codeOf, fileIn, type ModelFolder } from "./model-folder.ts";
import { PlacedService, ProbeService, type LoadedSpecs } from "./model-service.ts";
import { ModelVersion, type ModelLimits } from "./model-version.ts";
import { onnxPlanOf } from "./onnx-plan.ts";
import type { ResolvedRepositoryOptions } from "./options.ts";

/** A model that can be loaded. */
export interface PreparedModel {
  readonly config: ModelConfig;
  readonly versions: readonly WantedVersion[];
}

/** What {@link prepareModel} works with. */
export interface Preparation {
  readonly name: string;
  readonly folder: ModelFolder;
  /** A configuration, as JSON text, instead of the folder's. */
  readonly configJson: string | undefined;
  readonly options: ResolvedRepositoryOptions;
  readonly log: EngineLogger;
  readonly loads: Limiter;
}

/**
 * Reads a model's configuration, fills in what it leaves out, and says which versions are to be loaded.
 *
 * @throws ServableError or InferenceError where the configuration is wrong, or there is no version
 */
export async function prepareModel(preparation: Preparation): Promise<PreparedModel> {
  const { name, folder, options } = preparation;
  const written = await readConfig(preparation);
  const versions = versionsToLoad(name, written, folder);
  const newest = versions.at(-1) ?? "";
  let config: ModelConfig;
  try {
    config = await complete(preparation, written, newest);
  } catch (thrown) {
    // The model is at fault, not what was written of it: its versions are there and can't be loaded.
    if (!(thrown instanceof ProbeFailure)) throw thrown;
    const { reason } = thrown;
    const make = (): never => {
      throw reason;
    };
    return { config: written, versions: versions.map((version) => ({ version, stamp: stampOf(preparation, written, version), make })) };
  }
  const labels = await readLabels(config, folder.path);
  const limits: ModelLimits = { maxPendingRequests: options.maxPendingRequests, deadlineMs: options.deadlineMs, gpus: options.gpus };
  const wanted: WantedVersion[] = [];
  for (const version of versions) {
    const file = await modelFile(config, folder, version);
    wanted.push({
      version,
      stamp: stampOf(preparation, config, version),
      make: () =>
        new ModelVersion({
          version,
          config,
          folder: folder.path,
          file,
          labels,
          limits,
          log: preparation.log,
          onLoaded: (specs) => {
            checkAgainstModel(config, specs);
          },
        }),
    });
  }
  return { config, versions: wanted };
}

function stampOf({ folder }: Preparation, config: ModelConfig, version: string): string {
  return `${modelConfigToJson(config)}\n${folder.path}\n${folder.stamp}\n${folder.versions.get(version) ?? ""}`;
}

async function readConfig({ name, folder, configJson, options }: Preparation): Promise<ModelConfig> {
  if (configJson !== undefined) return modelConfigFromJson(configJson);
  const text = await readFile(join(folder.path, "config.pbtxt"), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new ServableError("load_failed", `config.pbtxt of model '${name}' can't be read (${codeOf(error)})`, { cause: error });
  });
  if (text !== undefined) return parseModelConfig(text);
  if (options.autoComplete) return {};
  throw new ServableError("load_failed", `model '${name}' has no config.pbtxt, and configurations are not completed`);
}

/** The versions in the folder that the policy lets be served, the oldest first. */
function versionsToLoad(name: string, { versionPolicy = {} }: ModelConfig, { versions }: ModelFolder): readonly string[] {
  const present = [...versions.keys()].sort((a, b) => Number(BigInt(a) - BigInt(b)));
  const { specific, all, latest } = versionPolicy;
  const wanted = new Set((specific?.versions ?? []).map(String));
  const chosen =
    specific !== undefined
      ? present.filter((version) => wanted.has(version))
      : all !== undefined
        ? present
        : present.slice(-Math.max(1, latest?.numVersions ?? 1));
  if (chosen.length > 0) return chosen;
  throw new InferenceError("INVALID_ARG", `at least one version must be available under the version policy of model '${name}'`);
}

/** A model that could not be loaded to be asked what it takes. */
class ProbeFailure extends Error {
  readonly reason: unknown;
  constructor(reason: unknown) {
    super("the model could not be looked at");
    this.reason = reason;
  }
}

async function complete(preparation: Preparation, written: ModelConfig, newest: string): Promise<ModelConfig> {
  const { name, folder, options } = preparation;
  const facts = { name, gpus: options.gpus };
  const config = withDefaults(written, facts);
  if (!options.autoComplete || !needsModel(written)) return config;
  const file = await modelFile(config, folder, newest);
  const specs = await probe(preparation, config, file).catch((thrown: unknown) => {
    throw new ProbeFailure(thrown);
  });
  return withDefaults(completeFromModel(written, specs, { ...facts, defaultMaxBatchSize: options.defaultMaxBatchSize }), facts);
}

/** Loads a model in a worker, to see what it takes and gives. */
async function probe({ folder, log, loads }: Preparation, config: ModelConfig, file: string): Promise<LoadedSpecs> {
  let found: LoadedSpecs | undefined;
  const keep = (specs: LoadedSpecs): void => {
    found = specs;
  };
  const plan = onnxPlanOf(config, undefined, { file, folder: folder.path, gpus: [null] });
  const engine = new Engine({ services: [new PlacedService(onnxLoaderSpec(plan), { workers: 1 }, () => new ProbeService(keep))], log });
  try {
    await loads.run(() => engine.start());
  } finally {
    await engine.stop(0);
  }
  if (found === undefined) throw new ServableError("load_failed", "the model says nothing of its inputs and outputs");
  return found;
}

async function modelFile({ defaultModelFilename = "" }: ModelConfig, folder: ModelFolder, version: string): Promise<string> {
  const name = defaultModelFilename === "" ? "model.onnx" : defaultModelFilename;
  const path = fileIn(join(folder.path, version), name, "default_model_filename");
  // A model with its weights in files of their own is a folder of that name.
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true ? join(path, "model.onnx") : path;
}

async function readLabels({ output = [] }: ModelConfig, folder: string): Promise<Labels> {
  const labels = new Map<string, readonly string[]>();
  for (const { name = "", labelFilename = "" } of output) {
    if (labelFilename === "") continue;
    const path = fileIn(folder, labelFilename, "label_filename");
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      throw new ServableError("load_failed", `the labels ${labelFilename} can't be read (${codeOf(error)})`, { cause: error });
    });
    labels.set(name, text.split(/\r?\n/));
  }
  return labels;
}
