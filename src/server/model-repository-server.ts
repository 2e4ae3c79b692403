import { join } from "node:path";
import { ServableError } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata, TensorMetadata } from "../protocol/model-info.ts";
import type { LoadOverrides, ModelPlane, ServedModel, Settings } from "../runtime/model-plane.ts";
import type { ModelInput, ModelOutput } from "../triton/model-config.ts";
import { Limiter } from "./limiter.ts";
import { ModelEntry, reasonOf, type EntrySurroundings } from "./model-entry.ts";
import { isModelName, modelNames, scanModel, writeModelFolder, type ModelFolder } from "./model-folder.ts";
import { modelReportOf, type ModelReport } from "./model-report.ts";
import type { ModelVersion } from "./model-version.ts";
import { resolveRepositoryOptions, type ModelRepositoryOptions, type ResolvedRepositoryOptions } from "./options.ts";
import { prepareModel } from "./prepare-model.ts";
import { LogSettings, TraceSettings } from "./settings.ts";
import { dataTypeOf } from "./signature.ts";

const extensions = [
  "classification",
  "sequence",
  "model_repository",
  "model_repository(unload_dependents)",
  "schedule_policy",
  "model_configuration",
  "system_shared_memory",
  "cuda_shared_memory",
  "binary_tensor_data",
  "parameters",
  "statistics",
  "trace",
  "logging",
] as const;

type Phase = "unstarted" | "starting" | "running" | "stopping" | "stopped";

/**
 * Serves folders laid out as Triton model repositories: which versions of which models are loaded, and requests to them. It speaks no wire;
 * fronts do.
 *
 * @example
 * ```ts
 * import { ModelRepositoryServer } from "servable/server";
 * import { createLogger } from "servable/http";
 *
 * const server = new ModelRepositoryServer({ repositories: ["./models"], log: await createLogger() });
 * await server.start();
 * const model = server.model("mlp", "");
 * const response = await model.admit({}).infer({
 *   modelName: "mlp",
 *   modelVersion: "",
 *   id: "1",
 *   parameters: {},
 *   inputs: [{ name: "x", dataType: "FP32", shape: [1, 64], data: new Float32Array(64) }],
 *   outputs: [],
 * });
 * await server.stop(10_000);
 * ```
 */
export class ModelRepositoryServer implements ModelPlane {
  readonly serverMetadata: ServerMetadata;
  readonly #options: ResolvedRepositoryOptions;
  readonly #log: EngineLogger;
  readonly #logSettings = new LogSettings();
  readonly #traceSettings = new TraceSettings();
  readonly #entries = new Map<string, ModelEntry>();
  readonly #loads: Limiter;
  #phase: Phase = "unstarted";
  #pollTimer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ModelRepositoryOptions) {
    this.#options = resolveRepositoryOptions(options);
    this.#log = this.#logSettings.filter(this.#options.log);
    this.#loads = new Limiter(this.#options.loadThreads);
    this.serverMetadata = { name: this.#options.name, version: this.#options.version, extensions };
  }

  /**
   * Loads what is to be loaded at the start.
   *
   * @throws ServableError `load_failed` where a model failed and `exitOnError` is on; everything is unloaded again then
   */
  async start(): Promise<void> {
    if (this.#phase !== "unstarted") throw new ServableError("invalid_argument", "A model server is started once.");
    this.#phase = "starting";
    const { control, loadModels, exitOnError, pollMs } = this.#options;
    try {
      const found = await this.#findModels();
      const names = control !== "explicit" || loadModels.includes("*") ? [...found.keys()] : loadModels;
      const failures = await this.#loadAll(names);
      if (failures.length > 0 && exitOnError) throw new ServableError("load_failed", failures.join("\n"));
    } catch (thrown) {
      await this.stop(0);
      throw thrown;
    }
    // `stop` may have come in between.
    if ((this.#phase as Phase) !== "starting") throw new ServableError("cancelled", "It was stopped before it was ready.");
    this.#phase = "running";
    if (control === "poll") this.#pollTimer = setInterval(() => void this.poll(), pollMs).unref();
  }

  /** Ends all models. @param graceMs - how long what is in hand may go on */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#phase = "stopping";
    clearInterval(this.#pollTimer);
    await Promise.all([...this.#entries.values()].map((entry) => entry.close(graceMs)));
    await this.#polling;
    this.#phase = "stopped";
  }

  live(): boolean {
    return this.#phase === "starting" || this.#phase === "running";
  }

  ready(): boolean {
    if (this.#phase !== "running") return false;
    if (!this.#options.strictReadiness) return true;
    for (const entry of this.#entries.values()) {
      if (!entry.settled) return false;
      if (entry.wanted && !entry.ready.some((version) => version.ready)) return false;
    }
    return true;
  }

  modelReady(name: string, version: string): boolean {
    return this.#find(name, version).ready;
  }

  model(name: string, version: string): ServedModel {
    return this.#find(name, version);
  }

  modelMetadata(name: string, version: string): ModelMetadata {
    const { config, version: found } = this.#find(name, version);
    const { platform = "", backend = "", input = [], output = [], maxBatchSize = 0 } = config;
    const ready = this.#entries.get(name)?.ready ?? [];
    return {
      name,
      versions: version === "" ? ready.map((one) => one.version) : [found],
      platform: platform === "" ? backend : platform,
      inputs: input.map((tensor) => metadataOf(tensor, maxBatchSize)),
      outputs: output.map((tensor) => metadataOf(tensor, maxBatchSize)),
    };
  }

  statistics(name: string, version: string): readonly ModelStatistics[] {
    if (name === "") return this.#served().map((one) => one.statistics.report(one.name, one.version));
    const ready = this.#entries.get(name)?.ready ?? [];
    const wanted = version === "" ? ready : ready.filter((one) => one.version === version);
    if (wanted.length === 0) throw new InferenceError("INVALID_ARG", `requested model '${name}' is not available`);
    return wanted.map((one) => one.statistics.report(one.name, one.version));
  }

  /** What metrics are made of: one report for each version that is loaded. */
  reports(): readonly ModelReport[] {
    return this.#served().map((version) => modelReportOf(version, this.#entries.get(version.name)?.loadMs(version.version) ?? 0));
  }

  async index(repository: string, onlyReady: boolean): Promise<readonly RepositoryIndexEntry[]> {
    if (repository !== "") throw unsupportedRepository();
    const found = await this.#findModels();
    const names = [...new Set([...found.keys(), ...this.#entries.keys()])].sort();
    const lines = names.flatMap((name) => this.#entries.get(name)?.index() ?? [{ name }]);
    return onlyReady ? lines.filter(({ state }) => state === "READY") : lines;
  }

  async load(repository: string, name: string, overrides: LoadOverrides): Promise<void> {
    if (repository !== "") throw unsupportedRepository();
    this.#checkControl();
    if (overrides.files !== undefined && overrides.files.size > 0 && overrides.config === undefined) {
      throw new InferenceError(
        "INVALID_ARG",
        `failed to load '${name}', override model directory requires 'config' parameter to be specified`,
      );
    }
    await this.#load(name, overrides);
  }

  unload(repository: string, name: string, unloadDependents: boolean): Promise<void> {
    if (repository !== "") return Promise.reject(unsupportedRepository());
    this.#checkControl();
    void unloadDependents;
    const entry = this.#entries.get(name);
    if (entry === undefined) return Promise.resolve();
    return entry.alone(() => {
      entry.wanted = false;
      entry.unload();
      return Promise.resolve();
    });
  }

  traceSettings(model: string, changes?: Readonly<Record<string, readonly string[] | null>>): Settings {
    if (model !== "") this.#find(model, "");
    if (changes !== undefined) this.#traceSettings.change(model, changes);
    return this.#traceSettings.of(model);
  }

  logSettings(changes?: Readonly<Record<string, string | number | boolean>>): Settings {
    if (changes !== undefined) this.#logSettings.change(changes);
    return this.#logSettings.values;
  }

  /** Looks for what has changed in the repositories, and loads and unloads accordingly; what `control: "poll"` does by itself. */
  poll(): Promise<void> {
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined;
    });
    return this.#polling;
  }

  async #poll(): Promise<void> {
    if (this.#phase !== "running") return;
    try {
      const found = await this.#findModels();
      for (const [name, entry] of this.#entries) {
        if (found.has(name) || !entry.wanted) continue;
        await entry.alone(() => {
          entry.wanted = false;
          entry.unload();
          return Promise.resolve();
        });
      }
      for (const failure of await this.#loadAll([...found.keys()], true)) this.#log.error(failure);
    } catch (thrown) {
      // The repository may be back at the next look; what is loaded stays.
      this.#log.error({ err: thrown }, "the model repositories can't be read");
    }
  }

  #find(name: string, version: string): ModelVersion {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    return entry.version(version);
  }

  #served(): readonly ModelVersion[] {
    return [...this.#entries.values()].flatMap((entry) => entry.ready);
  }

  #checkControl(): void {
    if (this.#options.control === "explicit") return;
    throw new InferenceError("UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled");
  }

  /** @returns why models did not load */
  async #loadAll(names: readonly string[], isPoll = false): Promise<readonly string[]> {
    const results = await Promise.allSettled(names.map((name) => this.#load(name, {}, isPoll)));
    return results.flatMap((result) => (result.status === "rejected" ? reasonOf(result.reason) : []));
  }

  /** @throws InferenceError */
  async #load(name: string, overrides: LoadOverrides, isPoll = false): Promise<void> {
    const entry = this.#entries.get(name) ?? new ModelEntry(name, this.#surroundings());
    await entry.alone(() => this.#loadAlone(entry, overrides, isPoll));
  }

  async #loadAlone(entry: ModelEntry, { config, files }: LoadOverrides, isPoll: boolean): Promise<void> {
    const { name } = entry;
    let prepared;
    let folder: ModelFolder;
    let brought: Awaited<ReturnType<typeof writeModelFolder>> | undefined;
    try {
      if (!isModelName(name)) throw new ServableError("not_found", "that can't be the name of a model");
      brought = files === undefined || files.size === 0 ? undefined : await writeModelFolder(name, files);
      folder = await this.#folderOf(name, brought?.path);
      const stamp = [folder.path, folder.stamp, ...[...folder.versions].flat(), config ?? ""].join("\n");
      // Unchanged since, whatever was loaded instead: a load without overrides is then no news.
      const unchanged = entry.stamp !== undefined && (entry.stamp === stamp || (config === undefined && entry.stamp.startsWith(stamp)));
      if (unchanged && entry.wanted) return;
      // What failed is tried again when it has changed, or when somebody asks for it.
      if (isPoll && entry.failedStamp === stamp) return;
      entry.failedStamp = stamp;
      // From now on it is known, and missing as long as it is not there.
      this.#entries.set(name, entry);
      entry.wanted = true;
      prepared = await prepareModel({ name, folder, configJson: config, options: this.#options, log: this.#log, loads: this.#loads });
    } catch (thrown) {
      await brought?.remove();
      this.#log.error({ model: name, err: thrown }, "model could not be read from its repository");
      if (thrown instanceof InferenceError && thrown.status === "INVALID_ARG") throw thrown;
      throw new InferenceError("INTERNAL", `failed to load '${name}', failed to poll from model repository`, { cause: thrown });
    }
    if (this.#phase === "stopping" || this.#phase === "stopped") {
      await brought?.remove();
      throw new InferenceError("UNAVAILABLE", "Server is stopping");
    }
    const before = entry.removeFiles;
    entry.removeFiles = brought === undefined ? undefined : () => brought.remove();
    const failed = await entry.become(prepared.versions);
    await before?.();
    if (failed.size === 0) {
      entry.stamp = entry.failedStamp;
      entry.failedStamp = undefined;
      return;
    }
    entry.stamp = undefined;
    const reasons = [...failed].map(([version, reason]) => `version ${version} is at UNAVAILABLE state: ${reason};`).join(" ");
    throw new InferenceError("INVALID_ARG", `load failed for model '${name}': ${reasons}\n`);
  }

  async #folderOf(name: string, brought: string | undefined): Promise<ModelFolder> {
    const path = brought ?? (await this.#findModels()).get(name);
    const folder = path === undefined ? undefined : await scanModel(path);
    if (folder === undefined) throw new ServableError("not_found", `there is no model '${name}' in any repository`);
    return folder;
  }

  /** The folder of each model; undefined of one that is in two repositories, which nobody can choose between. */
  async #findModels(): Promise<ReadonlyMap<string, string | undefined>> {
    const found = new Map<string, string | undefined>();
    for (const repository of this.#options.repositories) {
      for (const name of await modelNames(repository)) found.set(name, found.has(name) ? undefined : join(repository, name));
    }
    return found;
  }

  #surroundings(): EntrySurroundings {
    return { loads: this.#loads, log: this.#log, graceMs: this.#options.deadlineMs };
  }
}

function metadataOf({ name = "", dataType = "TYPE_INVALID", dims = [] }: ModelInput | ModelOutput, maxBatchSize: number): TensorMetadata {
  return { name, datatype: dataTypeOf(dataType) ?? "<invalid>", shape: maxBatchSize > 0 ? [-1, ...dims] : dims };
}

function unsupportedRepository(): InferenceError {
  return new InferenceError("UNSUPPORTED", "'repository_name' specification is not supported");
}
