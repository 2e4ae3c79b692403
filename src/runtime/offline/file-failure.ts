import { ServableError, messageOf } from "../../errors.ts";

/** The code that the operating system gave a failure, such as `ENOENT`. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/**
 * Says what is wrong with a file, and what to do.
 *
 * @returns `invalid_argument` where the command names a wrong file, `unavailable` where the machine refuses
 */
export function fileFailure(thrown: unknown, use: "read" | "written", path: string): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  const wrong = (text: string): ServableError => new ServableError("invalid_argument", text, { cause: thrown });
  const refused = (text: string): ServableError => new ServableError("unavailable", text, { cause: thrown });
  switch (systemCode(thrown)) {
    case "ENOENT":
      return wrong(use === "read" ? `There is no file ${path}.` : `The folder of ${path} does not exist; make it first.`);
    case "ENOTDIR":
      return wrong(`${path} can't be: a part of its path is a file, not a folder.`);
    case "EISDIR":
      return wrong(`${path} is a folder; name a file.`);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return wrong(`${path} may not be ${use} by this user.`);
    case "ENOSPC":
    case "EDQUOT":
      return refused(`${path} can't be written any further: the disk is full. Make room on it.`);
    case "EFBIG":
      return refused(`${path} can't be written any further: it has reached the largest size that a file may have here.`);
    case "EPIPE":
      return refused(`${path} can't be written any further: whoever read it has gone.`);
    default:
      return refused(`${path} can't be ${use}: ${messageOf(thrown)}`);
  }
}
