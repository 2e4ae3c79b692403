/** Imports a model that is written in TypeScript, in a worker. */
import * as nodeModule from "node:module";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { ServableError } from "../../errors.ts";
import { importFile } from "../../service/loader.ts";
import { registerTypeScript } from "../../service/typescript.ts";
import { resolveSync, type ResolveData, type ResolveHookSync } from "./typescript-resolve.ts";
import { checkModel, type TypeScriptModel } from "./typescript.ts";

/**
 * Imports the model of a file: its default export, or one named `model`. Each worker imports it for itself, and so as it is when the worker starts.
 *
 * @param folder - the model's: modules in it are ES modules
 * @throws ServableError `load_failed` with the place of a syntax error, or what is wrong with the export
 */
export async function importModel(file: string, folder: string): Promise<TypeScriptModel> {
  const shown = basename(file);
  // Hooks that come later are asked first, and so see what those for TypeScript find.
  if (/\.[cm]?tsx?$/.test(file)) await registerTypeScript();
  registerResolve({ folder: pathToFileURL(`${folder}/`).href, own: import.meta.url });
  const exports = await importFile(pathToFileURL(file).href, shown);
  const model = defaultOf(exports.default) ?? exports.model;
  if (model === undefined) {
    const names = Object.keys(exports);
    const found = names.length === 0 ? "nothing" : names.slice(0, 20).join(", ");
    throw new ServableError("load_failed", `${shown} has no default export; it exports ${found}. Export what defineModel gives.`);
  }
  try {
    checkModel(model);
  } catch (thrown) {
    if (!ServableError.isInstance(thrown)) throw thrown;
    throw new ServableError("load_failed", `the export of ${shown}: ${thrown.message}`, { cause: thrown });
  }
  return model;
}

/** From Node 22.15 on; what is registered with it is asked before whatever `register` knows. tsx goes by it, too, and would come first otherwise. */
type RegisterHooks = (hooks: { readonly resolve: ResolveHookSync }) => unknown;

function registerResolve(data: ResolveData): void {
  const { registerHooks } = nodeModule as { readonly registerHooks?: RegisterHooks };
  if (registerHooks === undefined) nodeModule.register(new URL("./typescript-resolve.js", import.meta.url), { data });
  else registerHooks({ resolve: resolveSync(data) });
}

/** Of CommonJS that was compiled, the default export is a member of the module's. */
function defaultOf(exported: unknown): unknown {
  const isModule = typeof exported === "object" && exported !== null && !("run" in exported) && "default" in exported;
  return isModule ? exported.default : exported;
}
