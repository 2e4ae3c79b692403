import { readFile, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { ServableError, messageOf } from "../../errors.ts";
import { staysInside } from "../rules/problem.ts";

/** The code of a failed system call, such as `ENOENT`. */
function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Whether a failure says that a file or folder is not there (any more). */
export function isGone(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** What is said of a failed system call to people who may not see paths. */
export function reasonOf(error: unknown): string {
  return systemCode(error) ?? messageOf(error);
}

/**
 * The real path of what `relative` names beneath a folder; undefined where there is nothing. A link is followed as long as it stays in the folder.
 *
 * @param what - How errors name it.
 * @param place - How errors name the folder.
 * @throws ServableError `load_failed` where the path, or a link on the way, leaves the folder.
 */
export async function resolveInside(
  folder: string,
  relative: string,
  what: string,
  place = "the model's folder",
): Promise<string | undefined> {
  if (!staysInside(relative)) throw new ServableError("load_failed", `${what} must be a relative path that stays in ${place}.`);
  try {
    const [root, found] = await Promise.all([realpath(folder), realpath(path.join(folder, relative))]);
    if (found !== root && !found.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) {
      throw new ServableError("load_failed", `${what} is a link that leaves ${place}.`);
    }
    return found;
  } catch (error) {
    if (isGone(error)) return undefined;
    if (ServableError.isInstance(error)) throw error;
    throw new ServableError("load_failed", `${what} can't be read (${reasonOf(error)}).`, { cause: error });
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The text of a file beneath a folder; undefined where there is none. A pipe or a device is refused, since reading one may never end.
 *
 * @throws ServableError `load_failed` where it is no file, too large, not UTF-8, or leaves the folder.
 */
export async function readTextInside(folder: string, relative: string, what: string, maxBytes: number): Promise<string | undefined> {
  const file = await resolveInside(folder, relative, what);
  if (file === undefined) return undefined;
  const { bytes, problem } = await readBounded(file, maxBytes);
  if (problem !== undefined) throw new ServableError("load_failed", `${what} ${problem}.`);
  if (bytes === undefined) return undefined;
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new ServableError("load_failed", `${what} is not UTF-8.`, { cause: error });
  }
}

async function readBounded(file: string, maxBytes: number): Promise<{ readonly bytes?: Uint8Array; readonly problem?: string }> {
  try {
    const facts = await stat(file);
    if (!facts.isFile()) return { problem: "is not a file" };
    if (facts.size > maxBytes) return { problem: `has ${facts.size} bytes; it may have ${maxBytes}` };
    return { bytes: await readFile(file) };
  } catch (error) {
    return isGone(error) ? {} : { problem: `can't be read (${reasonOf(error)})` };
  }
}
