import { readdir, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { ServableError } from "../../errors.ts";
import { fileFailure } from "../file-failure.ts";
import { fileSource } from "../sources.ts";
import type { ArchiveFile } from "./pack.ts";

const maxFiles = 100_000;
const maxDepth = 64;

/**
 * The files beneath a folder, under their relative paths. Links are followed, and what they lead to is packed, as long as that is in `root`.
 *
 * @param root - @default the folder
 * @throws ServableError `invalid_argument` for what can't be packed
 */
export async function filesBeneath(folder: string, root: string = folder): Promise<readonly ArchiveFile[]> {
  const found: ArchiveFile[] = [];
  const real = await realpath(root).catch((thrown: unknown) => {
    throw fileFailure(thrown, "read", root);
  });
  await walk(folder, "", 0);
  return found;

  async function walk(at: string, prefix: string, depth: number): Promise<void> {
    if (depth > maxDepth)
      throw new ServableError("invalid_argument", `${at} is more than ${maxDepth} folders deep, or a link leads in a circle.`);
    const names = await readdir(at).catch((thrown: unknown) => {
      throw fileFailure(thrown, "read", at);
    });
    for (const name of names.sort()) {
      const file = path.join(at, name);
      const relative = prefix === "" ? name : `${prefix}/${name}`;
      await refuseOutside(file);
      const facts = await stat(file).catch((thrown: unknown) => {
        throw fileFailure(thrown, "read", file);
      });
      if (facts.isDirectory()) await walk(file, relative, depth + 1);
      else if (facts.isFile()) found.push({ path: relative, source: await fileSource(file), executable: (facts.mode & 0o100) !== 0 });
      else throw new ServableError("invalid_argument", `${file} is neither a file nor a folder, and can't be packed.`);
      if (found.length > maxFiles) throw new ServableError("invalid_argument", `${folder} has more than ${maxFiles} files.`);
    }
  }

  async function refuseOutside(file: string): Promise<void> {
    const target = await realpath(file).catch((thrown: unknown) => {
      throw fileFailure(thrown, "read", file);
    });
    if (target.startsWith(real.endsWith(path.sep) ? real : real + path.sep)) return;
    throw new ServableError("invalid_argument", `${file} is a link that leaves ${root}: copy what it leads to.`);
  }
}
