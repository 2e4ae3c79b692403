import { ServableError } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata } from "../protocol/model-info.ts";
import { modelVersionOf } from "../protocol/model-version-text.ts";
import type { LoadOverrides, ModelPlane, ServedModel, Settings } from "../runtime/model-plane.ts";
import { readModelFolder } from "../triton/repository/model-folder.ts";
import { Limiter } from "./limiter.ts";
import { ModelEntry, reasonOf, type EntrySurroundings, type WantedVersion } from "./model-entry.ts";
import { stampOf, writeModelFolder, type BroughtFiles } from "./model-stamp.ts";
import { modelReportOf, type ModelReport } from "./model-report.ts";
import type { ServedVersion } from "./served-version.ts";
import { resolveRepositoryOptions, type ModelRepositoryOptions, type ResolvedRepositoryOptions } from "./options.ts";
import { modelMetadataOf, serverMetadataOf } from "./metadata.ts";
import { prepareModel } from "./prepare-model.ts";
import { RateLimiter } from "./rate-limiter.ts";
import { Repositories } from "./repositories.ts";
import { ResponseCache } from "./response-cache.ts";
import { LogSettings, TraceSettings } from "./settings.ts";

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
  readonly #repositories: Repositories;
  readonly #loads: Limiter;
  readonly #cache: ResponseCache | undefined;
  readonly #rateLimiter: RateLimiter | undefined;
  #phase: Phase = "unstarted";
  #pollTimer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ModelRepositoryOptions) {
    this.#options = resolveRepositoryOptions(options);
    this.#log = this.#logSettings.filter(this.#options.log);
    this.#repositories = new Repositories(this.#options.repositories, this.#options.configName);
    this.#loads = new Limiter(this.#options.loadThreads);
    const { responseCacheBytes, rateLimit, rateLimitResources } = this.#options;
    this.#rateLimiter = rateLimit === "off" ? undefined : new RateLimiter(rateLimitResources);
    this.#cache = responseCacheBytes > 0 ? new ResponseCache(responseCacheBytes) : undefined;
    this.serverMetadata = serverMetadataOf(this.#options);
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
      const found = await this.#repositories.models();
      const names = control !== "explicit" || loadModels.includes("*") ? [...found.keys()] : loadModels;
      const failures = await this.#loadAll(names);
      for (const failure of failures) this.#log.error({ err: failure }, "a model did not load");
      if (failures.length > 0 && exitOnError)
        throw new ServableError("load_failed", failures.map((failure) => failure.replace(/;\s*$/, "")).join(";\n"));
    } catch (thrown) {
      await this.stop(0);
      throw thrown;
    }
    // `stop` may have come in between.
    if ((this.#phase as Phase) !== "starting") throw new ServableError("cancelled", "It was stopped before it was ready.");
    this.#phase = "running";
    if (control === "poll") this.#pollTimer = setInterval(() => void this.poll(), pollMs).unref();
  }

  /** Loads nothing any more, and is neither alive nor ready; what is loaded serves until `stop`. */
  beginStop(): void {
    if (this.#phase === "stopping" || this.#phase === "stopped") return;
    this.#phase = "stopping";
    clearInterval(this.#pollTimer);
    for (const entry of this.#entries.values()) entry.beginClose();
  }

  /** Ends all models. @param graceMs - how long what is in hand may go on */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    this.beginStop();
    const entries = [...this.#entries.values()];
    const [ensembles, models] = [true, false].map((isEnsemble) => entries.filter((entry) => entry.dependencies.length > 0 === isEnsemble));
    // What is on its way through an ensemble still needs its models.
    await Promise.all((ensembles ?? []).map((entry) => entry.close(graceMs)));
    await Promise.all((models ?? []).map((entry) => entry.close(graceMs)));
    await this.#polling;
    this.#phase = "stopped";
  }

  /**
   * Versions in which something runs; after {@link stop} that is what was given up and goes on. Where it is native code in a thread, a process that exits in the
   * middle of it is aborted.
   */
  running(): readonly { readonly name: string; readonly version: string; readonly placement: string }[] {
    const versions = [...this.#entries.values()].flatMap((entry) => entry.versions);
    const busy = versions.filter(({ running }) => running.count > 0);
    return busy.map(({ name, version, running: { placement } }) => ({ name, version, placement }));
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
    try {
      return this.#find(name, version).ready;
    } catch (thrown) {
      // One that is there and not ready is just that.
      if (thrown instanceof InferenceError && thrown.status === "UNAVAILABLE") return false;
      throw thrown;
    }
  }

  model(name: string, version: string): ServedModel {
    return this.#find(name, version);
  }

  modelMetadata(name: string, version: string): ModelMetadata {
    const { config, version: found } = this.#find(name, version);
    const ready = this.#entries.get(name)?.ready ?? [];
    return modelMetadataOf(name, config, version === "" ? ready.map((one) => one.version) : [found]);
  }

  statistics(name: string, version: string): readonly ModelStatistics[] {
    if (name === "") return this.#served().map((one) => one.statistics.report(one.name, one.version));
    const ready = this.#entries.get(name)?.ready ?? [];
    const number = modelVersionOf(version);
    const wanted = number === "" ? ready : ready.filter((one) => one.version === number);
    if (wanted.length === 0) {
      const what =
        ready.length === 0 ? `requested model '${name}' is not available` : `requested model version is not available for model '${name}'`;
      throw new InferenceError("INVALID_ARG", what);
    }
    return wanted.map((one) => one.statistics.report(one.name, one.version));
  }

  /** What metrics are made of: one report for each version that is loaded. */
  reports(): readonly ModelReport[] {
    return this.#served().map((version) => modelReportOf(version, this.#entries.get(version.name)?.loadMs(version.version) ?? 0));
  }

  async index(repository: string, onlyReady: boolean): Promise<readonly RepositoryIndexEntry[]> {
    if (repository !== "") throw unsupportedRepository();
    const found = await this.#repositories.models();
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
    const entry = this.#entries.get(name);
    if (entry !== undefined) entry.asked = true;
  }

  unload(repository: string, name: string, unloadDependents: boolean): Promise<void> {
    if (repository !== "") return Promise.reject(unsupportedRepository());
    this.#checkControl();
    return this.#unload(name, unloadDependents);
  }

  async #unload(name: string, withDependencies: boolean): Promise<void> {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const { dependencies } = entry;
    await entry.alone(() => {
      entry.wanted = false;
      entry.asked = false;
      entry.unload();
      return Promise.resolve();
    });
    if (!withDependencies) return;
    // What was loaded for it alone goes with it.
    for (const dependency of dependencies) {
      const needed = [...this.#entries.values()].some((other) => other.wanted && other.dependencies.includes(dependency));
      if (!needed && this.#entries.get(dependency)?.asked === false) await this.#unload(dependency, true);
    }
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
      const found = await this.#repositories.models();
      for (const [name, entry] of this.#entries) {
        if (found.has(name) || !entry.wanted) continue;
        await entry.alone(() => {
          entry.wanted = false;
          entry.unload();
          return Promise.resolve();
        });
      }
      for (const failure of await this.#loadAll([...found.keys()], true)) this.#log.error({ err: failure }, "a model did not load");
    } catch (thrown) {
      // The repository may be back at the next look; what is loaded stays.
      this.#log.error({ err: thrown }, "the model repositories can't be read");
    }
  }

  #find(name: string, version: string): ServedVersion {
    const wanted = modelVersionOf(version);
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    return entry.version(wanted);
  }

  #served(): readonly ServedVersion[] {
    return [...this.#entries.values()].flatMap((entry) => entry.ready);
  }

  #checkControl(): void {
    if (this.#options.control === "explicit") return;
    throw new InferenceError("UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled");
  }

  /** @returns why models did not load */
  async #loadAll(names: readonly string[], isPoll = false): Promise<readonly string[]> {
    const results = await Promise.allSettled(names.map((name) => this.#load(name, {}, isPoll)));
    return results.flatMap((result) => (result.status === "rejected" ? wholeReasonOf(result.reason) : []));
  }

  /** @throws InferenceError */
  async #load(name: string, overrides: LoadOverrides, isPoll = false): Promise<void> {
    const entry = this.#entries.get(name) ?? new ModelEntry(name, this.#surroundings());
    await entry.alone(() => this.#loadAlone(entry, overrides, isPoll));
  }

  async #loadAlone(entry: ModelEntry, { config, files }: LoadOverrides, isPoll: boolean): Promise<void> {
    const { name } = entry;
    let brought: BroughtFiles | undefined;
    let versions: readonly WantedVersion[];
    let dependencies: readonly string[];
    try {
      brought = files === undefined || files.size === 0 ? undefined : await writeModelFolder(name, files);
      const repository = brought?.repository ?? (await this.#repositories.of(name));
      // The stamp comes first: what changes while it is read is then seen as changed by the next look.
      const stamp = await stampOf(await readModelFolder(repository, name, this.#options.configName));
      const folder = await readModelFolder(repository, name, this.#options.configName);
      const text = [stamp.common, ...[...stamp.versions].flat(), config ?? ""].join("\n");
      // Unchanged since, whatever was loaded instead: a load without overrides is then no news.
      const unchanged = entry.stamp !== undefined && (entry.stamp === text || (config === undefined && entry.stamp.startsWith(text)));
      if (unchanged && entry.wanted) return;
      // What failed is tried again when it has changed, or when somebody asks for it.
      if (isPoll && entry.failedStamp === text) return;
      entry.failedStamp = text;
      // From now on it is known, and missing as long as it is not there.
      this.#entries.set(name, entry);
      entry.wanted = true;
      ({ versions, dependencies } = await prepareModel({
        folder,
        stamp,
        configJson: config,
        options: this.#options,
        log: this.#log,
        loads: this.#loads,
        cache: this.#cache,
        rateLimiter: this.#rateLimiter,
        find: (model, version) => this.#find(model, version),
      }));
      if (this.#phase === "stopping" || this.#phase === "stopped") throw new ServableError("cancelled", "the server is stopping");
    } catch (thrown) {
      await brought?.remove();
      this.#log.error({ model: name, err: thrown }, "model could not be read from its repository");
      if (thrown instanceof InferenceError) throw thrown;
      throw new InferenceError("INTERNAL", `failed to load '${name}', failed to poll from model repository`, { cause: thrown });
    }
    entry.dependencies = dependencies;
    await this.#loadDependencies(name, dependencies, isPoll);
    const before = entry.removeFiles;
    entry.removeFiles = brought === undefined ? undefined : () => brought.remove();
    const failed = await entry.become(versions);
    await before?.();
    entry.stamp = failed.size === 0 ? entry.failedStamp : undefined;
    if (failed.size === 0) entry.failedStamp = undefined;
    if (failed.size > 0) {
      const reasons = [...failed].map(([version, reason]) => `version ${version} is at UNAVAILABLE state: ${reason};`).join(" ");
      throw new InferenceError("INVALID_ARG", `load failed for model '${name}': ${reasons}\n`);
    }
  }

  /** Has what an ensemble is made of loaded before it. What fails, the ensemble itself will miss. */
  async #loadDependencies(name: string, dependencies: readonly string[], isPoll: boolean): Promise<void> {
    if (dependencies.length === 0) return;
    // Two that are made of each other would wait for each other for ever.
    if (await this.#repositories.areMadeOf(dependencies, name)) {
      throw new InferenceError("INVALID_ARG", `load failed for model '${name}': circular dependency between ensembles\n`);
    }
    await Promise.allSettled(
      dependencies.map(async (dependency) => {
        // What is loaded stays as it is: it is not what was asked for.
        if (this.#entries.get(dependency)?.ready.length === 0 || !this.#entries.has(dependency)) await this.#load(dependency, {}, isPoll);
      }),
    );
  }

  #surroundings(): EntrySurroundings {
    return { loads: this.#loads, log: this.#log, graceMs: this.#options.deadlineMs };
  }
}

/** With what is wrong with a configuration, which clients are not told. */
function wholeReasonOf(thrown: unknown): string {
  const cause = thrown instanceof InferenceError ? thrown.cause : undefined;
  return cause === undefined ? reasonOf(thrown) : `${reasonOf(thrown)}: ${reasonOf(cause)}`;
}

function unsupportedRepository(): InferenceError {
  return new InferenceError("UNSUPPORTED", "'repository_name' specification is not supported");
}
