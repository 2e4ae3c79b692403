import { statSync } from "node:fs";
import { createRequire } from "node:module";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ServableError, messageOf, type JsonValue } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { definitionOf } from "./define-service.ts";
import { isDefinition, type AnyServiceDefinition } from "./definition.ts";
import { firstLine, loadFailureReason } from "./load-failure.ts";
import { isService, isServiceClass, type Service } from "./service.ts";
import { PipelineService } from "./pipeline-service.ts";
import { registerTypeScript } from "./typescript.ts";

/** Names a service so that it can be constructed anywhere: plain data. */
export interface LoaderSpec {
  /** A `file:` URL, an absolute path, or a path relative to the current folder. */
  readonly module: string;
  /** The export: a definition, a class of services, or a function of `arguments` that gives a definition. @default the only service */
  readonly export?: string | undefined;
  /** For the class's constructor, or the function. */
  readonly arguments?: readonly JsonValue[] | undefined;
}

const keys = { module: "needed", export: true, arguments: true } satisfies KeysOf<LoaderSpec>;

/** Constructs something where it runs. */
export interface Loader<T> {
  /** Constructs it anew. */
  load(): Promise<T>;
}

/** Constructs a service from its {@link LoaderSpec}. */
export class ServiceLoader implements Loader<Service> {
  /** The spec with its module as a `file:` URL, so that it means the same in every thread and folder. */
  readonly spec: LoaderSpec;
  #definition: Promise<AnyServiceDefinition> | undefined;

  /** @throws ServableError `invalid_config` */
  constructor(spec: LoaderSpec, baseFolder: string = process.cwd()) {
    refuseUnknownKeys(spec, keys, "A LoaderSpec");
    this.spec = { ...spec, module: moduleUrl(spec.module, baseFolder) };
  }

  /**
   * The definition, imported but not constructed.
   *
   * @throws ServableError `load_failed` saying what is missing or what the module threw
   */
  definition(): Promise<AnyServiceDefinition> {
    this.#definition ??= this.#load();
    return this.#definition;
  }

  /** A new instance, not set up. */
  async load(): Promise<Service> {
    const definition = await this.definition();
    return definition.create();
  }

  async #load(): Promise<AnyServiceDefinition> {
    const shown = displayPath(this.spec.module);
    const exports = await importModule(this.spec.module);
    let name = this.spec.export;
    if (name === undefined) {
      const names = serviceExports(exports);
      const [only, ...more] = names;
      if (only === undefined) throw noService(shown, exports);
      if (more.length > 0) {
        throw new ServableError(
          "load_failed",
          `${shown} exports ${names.length} services (${names.join(", ")}); say which one with \`export\`.`,
        );
      }
      name = only;
    }
    const exported = Object.hasOwn(exports, name) ? exports[name] : undefined;
    if (exported === undefined) {
      throw new ServableError("load_failed", `${shown} has no export '${name}'. It exports: ${listNames(Object.keys(exports))}.`);
    }
    const definition = this.#construct(exported, name, shown);
    if (definition === undefined) {
      throw new ServableError(
        "load_failed",
        `Export '${name}' of ${shown} is not a service: export what defineService gives, or a class that extends Service.`,
      );
    }
    return definition;
  }

  #construct(exported: unknown, name: string, shown: string): AnyServiceDefinition | undefined {
    const args = this.spec.arguments ?? [];
    if (isDefinition(exported)) {
      if (args.length > 0) {
        throw new ServableError(
          "load_failed",
          `Export '${name}' is a finished definition and takes no arguments; export a class or a function that does.`,
        );
      }
      return exported;
    }
    if (isServiceClass(exported)) return definitionOf(exported, args, name);
    if (typeof exported !== "function") return undefined;
    let made: unknown;
    try {
      made = (exported as (...args: readonly JsonValue[]) => unknown)(...args);
    } catch (thrown) {
      if (ServableError.isInstance(thrown)) throw thrown;
      throw new ServableError("load_failed", `Function '${name}' of ${shown} failed: ${firstLine(messageOf(thrown))}`, { cause: thrown });
    }
    return definitionOf(made, [], name);
  }
}

/**
 * Finds every service that a module exports.
 *
 * @throws ServableError `load_failed` where the module can't be imported or exports none
 */
export async function discoverServices(module: string, baseFolder: string = process.cwd()): Promise<readonly ServiceLoader[]> {
  const url = moduleUrl(module, baseFolder);
  const exports = await importModule(url);
  const names = serviceExports(exports);
  if (names.length === 0) throw noService(displayPath(url), exports);
  return names.map((name) => new ServiceLoader({ module: url, export: name }));
}

/** The names of what is a service; of one exported under several names, the first. */
function serviceExports(exports: Readonly<Record<string, unknown>>): readonly string[] {
  const seen = new Set<unknown>();
  return Object.keys(exports).filter((name) => {
    const exported = exports[name];
    if (seen.has(exported) || !(isDefinition(exported) || isServiceClass(exported))) return false;
    seen.add(exported);
    return true;
  });
}

function noService(shown: string, exports: Readonly<Record<string, unknown>>): ServableError {
  const instances = Object.keys(exports).filter((name) => isService(exports[name]));
  const pipelines = instances.filter((name) => exports[name] instanceof PipelineService);
  const hint =
    pipelines.length > 0
      ? ` '${pipelines.join("', '")}' is a pipeline without a name: export definePipeline({ name, steps }) instead.`
      : instances.length > 0
        ? ` '${instances.join("', '")}' is an instance: export its class instead.`
        : "";
  return new ServableError(
    "load_failed",
    `${shown} exports no service (it exports: ${listNames(Object.keys(exports))}).${hint} Export what defineService gives, or a class that extends Service.`,
  );
}

function listNames(names: readonly string[]): string {
  return names.length === 0 ? "nothing" : names.slice(0, 20).join(", ");
}

function moduleUrl(module: string, baseFolder: string): string {
  if (module.startsWith("file:")) return module;
  return pathToFileURL(isAbsolute(module) ? module : resolve(baseFolder, module)).href;
}

function displayPath(url: string): string {
  const path = fileURLToPath(url);
  const folder = `${process.cwd()}/`;
  return path.startsWith(folder) ? `./${path.slice(folder.length)}` : path;
}

async function importModule(url: string): Promise<Readonly<Record<string, unknown>>> {
  return flattenCommonJs(await importFile(url, displayPath(url)));
}

/**
 * Imports a file, TypeScript too.
 *
 * @param url - a `file:` URL
 * @param shown - what messages call it
 * @throws ServableError `load_failed` saying where a syntax error is, or what the module threw
 */
export async function importFile(url: string, shown: string): Promise<Readonly<Record<string, unknown>>> {
  const path = fileURLToPath(new URL(url));
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new ServableError("load_failed", `There is no file ${shown}.`);
  if (!found.isFile()) throw new ServableError("load_failed", `${shown} is a folder; name a .ts or .js file in it.`);
  if (!/\.[cm]?[jt]sx?$/.test(path)) throw new ServableError("load_failed", `${shown} is not a module; name a .ts or .js file.`);
  if (/\.[cm]?tsx?$/.test(path)) await registerTypeScript();
  try {
    // Imported, CommonJS in TypeScript could not require ES modules, this package among them.
    return (path.endsWith(".cts") ? createRequire(url)(path) : await import(url)) as Readonly<Record<string, unknown>>;
  } catch (thrown) {
    throw new ServableError("load_failed", `${shown} could not be loaded: ${await loadFailureReason(thrown, path)}`, { cause: thrown });
  }
}

/** A CommonJS module arrives with its exports under `default` (and `module.exports` in newer Nodes). */
function flattenCommonJs(module: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const whole = module.default;
  if (typeof whole !== "object" || whole === null || isDefinition(whole)) return module;
  const { default: _default, "module.exports": _exports, ...named } = module;
  return { ...(whole as Readonly<Record<string, unknown>>), ...named };
}
