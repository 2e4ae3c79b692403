import { ServableError } from "../../errors.ts";
import { readTextInside } from "./inside.ts";
import type { ModelFolder } from "./model-folder.ts";

const maxBytes = 64 * 1024 * 1024;

/**
 * Reads the labels of an output: one a line, the first for index 0.
 *
 * @throws ServableError `load_failed` where the file is missing, too large, not UTF-8, or leaves the model's folder.
 */
export async function readLabels(model: ModelFolder, filename: string): Promise<readonly string[]> {
  const what = `The label file '${filename}' of model '${model.name}'`;
  const text = await readTextInside(model.path, filename, what, maxBytes);
  if (text === undefined) throw new ServableError("load_failed", `${what} does not exist.`);
  const lines = text.split(/\r?\n/);
  // What follows the last line break is no line.
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}
