/** Module hooks of the workers that run models written in TypeScript. Older Nodes load this module on the thread that they have for hooks. */
import type { InitializeHook, ResolveFnOutput, ResolveHook, ResolveHookContext } from "node:module";

/** What the hooks are registered with. */
export interface ResolveData {
  /** The folder of the model, as a `file:` URL with a slash at its end. */
  readonly folder: string;
  /** A module of this package. */
  readonly own: string;
}

/** A {@link ResolveHook} of `registerHooks`, which runs on the thread that imports. */
export type ResolveHookSync = (
  specifier: string,
  context: ResolveHookContext,
  next: (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput,
) => ResolveFnOutput;

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
  if (!isThisPackage(specifier)) return asModule(await next(specifier, context), data);
  try {
    return await next(specifier, context);
  } catch {
    return next(specifier, { ...context, parentURL: data.own });
  }
};

/** {@link resolve} for `registerHooks`. */
export function resolveSync(given: ResolveData): ResolveHookSync {
  return (specifier, context, next) => {
    if (!isThisPackage(specifier)) {
      const found = next(specifier, context);
      // Here a `require` comes by, too, and what it finds stays as it is.
      return context.conditions.includes("require") ? found : asModule(found, given);
    }
    try {
      return next(specifier, context);
    } catch {
      return next(specifier, { ...context, parentURL: given.own });
    }
  };
}

function isThisPackage(specifier: string): boolean {
  return /^servable(\/|$)/.test(specifier);
}

function asModule(found: ResolveFnOutput, { folder }: ResolveData): ResolveFnOutput {
  const isOwn = found.url.startsWith(folder) && !found.url.includes("/node_modules/", folder.length - 1);
  return isOwn && found.format === "commonjs" && /\.[jt]sx?(\?|$)/.test(found.url) ? { ...found, format: "module" } : found;
}
