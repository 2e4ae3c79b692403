import { readdir } from "node:fs/promises";
import { basename, dirname, isAbsolute } from "node:path";
import { nearestKey } from "../../known-keys.ts";

/**
 * What to say of a file that is not there. Of its path only the last part is told, here and below: the reason a model did not load is in
 * what health routes answer, to everybody.
 *
 * @param asked - the path as it was given
 */
export async function missingFileReason(file: string, asked: string): Promise<string> {
  const name = basename(file);
  const names = await readdir(dirname(file)).catch(() => undefined);
  const near =
    names &&
    nearestKey(
      name,
      names.filter((other) => other.endsWith(".onnx")),
    );
  const hint =
    names === undefined
      ? `, nor the folder ${basename(dirname(file))} that it should be in`
      : near === undefined
        ? ""
        : `; did you mean ${near}?`;
  // The commonest reason, and one that shows only where a server is started from elsewhere.
  const relative = isAbsolute(asked)
    ? ""
    : `${hint.endsWith("?") ? " A" : ". A"} relative path starts in the folder where the process was started; new URL("./${name}", import.meta.url) starts beside the module`;
  return `there is no file ${name}${hint}${relative}`;
}
