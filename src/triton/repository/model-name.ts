import { ServableError } from "../../errors.ts";
import { shorten } from "../scalars.ts";

/** Whether a text can be the name of a model, which is the name of a folder in the repository. */
export function isModelName(name: string): boolean {
  return name !== "" && !name.startsWith(".") && !/[/\\\0]/.test(name) && Buffer.byteLength(name, "utf8") <= 255;
}

/**
 * Refuses a name that would lead out of the repository, or that no folder can have.
 *
 * @throws ServableError `invalid_request`.
 */
export function checkModelName(name: string): void {
  if (isModelName(name)) return;
  const why = "it is the name of a folder: no '/', '\\' or NUL, no dot at its start, at most 255 bytes";
  throw new ServableError("invalid_request", `${JSON.stringify(shorten(name))} can't be the name of a model: ${why}.`);
}
