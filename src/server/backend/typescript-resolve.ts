/** Module hooks of the workers that run models written in TypeScript; loaded on the thread that Node has for hooks. */
import type { InitializeHook, ResolveHook } from "node:module";

/** What the hooks are registered with. */
export interface ResolveData {
  /** The folder of the model, as a `file:` URL with a slash at its end. */
  readonly folder: string;
  /** A module of this package. */
  readonly own: string;
}

let data: ResolveData | undefined;

export const initialize: InitializeHook<ResolveData> = (given) => {
  data = given;
};

/**
 * A repository lies anywhere, without a package.json and without node_modules: there this package is the one that serves, and modules are ES
 * modules, which they would not be without a package.json that says so.
 */
export const resolve: ResolveHook = async (specifier, context, next) => {
  if (data === undefined) return next(specifier, context);
  if (/^servable(\/|$)/.test(specifier)) {
    try {
      return await next(specifier, context);
    } catch {
      return next(specifier, { ...context, parentURL: data.own });
    }
  }
  const found = await next(specifier, context);
  const isOwn = found.url.startsWith(data.folder) && !found.url.includes("/node_modules/", data.folder.length - 1);
  return isOwn && found.format === "commonjs" && /\.[jt]sx?(\?|$)/.test(found.url) ? { ...found, format: "module" } : found;
};
