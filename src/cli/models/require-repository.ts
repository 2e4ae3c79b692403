import { stat } from "node:fs/promises";
import { ServableError, messageOf } from "../../errors.ts";

/**
 * Looks that a repository is there: what the server says of one does not tell where it is, since it goes to clients, too.
 *
 * @throws ServableError `load_failed`
 */
export async function requireRepository(path: string): Promise<void> {
  const found = await stat(path).catch((thrown: unknown) => {
    const isGone = thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
    throw loadFailed(isGone ? `There is no folder ${path}` : `${path} can't be read (${messageOf(thrown)})`, thrown);
  });
  if (!found.isDirectory()) throw loadFailed(`${path} is a file`);
}

function loadFailed(what: string, cause?: unknown): ServableError {
  return new ServableError("load_failed", `${what}; a model repository is a folder of models, such as <it>/mlp/1/model.onnx.`, { cause });
}
