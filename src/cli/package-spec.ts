import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { ServableError } from "../errors.ts";
import { packageFolder, readPackageFacts } from "./package-facts.ts";

const hiddenLockSchema = z.object({ packages: z.record(z.string(), z.object({ resolved: z.string().optional() })) });

/**
 * Where a new project takes servable from, as npm writes it in package.json.
 *
 * @param given - a version, a URL, or a path, which becomes absolute; by default, where this servable came from
 * @throws ServableError `invalid_argument` for a path where nothing is
 */
export function resolveSpec(given: string | undefined): string {
  if (given === undefined) return ownSpec(packageFolder) ?? `^${readPackageFacts().version}`;
  const isFile = given.startsWith("file:");
  const path = given.startsWith("file://") ? fileURLToPath(given) : resolve(isFile ? given.slice("file:".length) : given);
  if (existsSync(path)) return `file:${path}`;
  const looksLikePath = isFile || /^[./~]|^[A-Za-z]:\\/.test(given) || (/\.(tgz|tar\.gz)$/.test(given) && !/^\w+:/.test(given));
  if (looksLikePath) throw new ServableError("invalid_argument", `--servable names ${given}, but there is no such file or folder.`);
  return given;
}

/**
 * Where the servable in a folder was installed from, if that was a file on this machine: a tarball by npm's own note beside it, or
 * a checkout that is run where it stands. Undefined for one from a registry.
 */
export function ownSpec(folder: string): string | undefined {
  const own = resolve(folder);
  const modules = dirname(own);
  if (basename(modules) !== "node_modules") return `file:${own}`;
  const resolved = readHiddenLock(modules)?.packages[`node_modules/${basename(own)}`]?.resolved;
  if (resolved?.startsWith("file:") !== true) return undefined;
  // npm writes it relative to the folder that node_modules is in.
  const path = resolve(dirname(modules), decodeURI(resolved.slice("file:".length)));
  return existsSync(path) ? `file:${path}` : undefined;
}

function readHiddenLock(modules: string): z.infer<typeof hiddenLockSchema> | undefined {
  try {
    return hiddenLockSchema.parse(JSON.parse(readFileSync(resolve(modules, ".package-lock.json"), "utf8")));
  } catch {
    // Other package managers write none, and npm writes none for a global installation.
    return undefined;
  }
}
