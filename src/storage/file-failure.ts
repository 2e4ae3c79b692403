import { ServableError, messageOf } from "../errors.ts";

/** The code that the operating system gave a failure, such as `ENOENT`. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** Says what is wrong with a file or folder. */
export function fileFailure(thrown: unknown, use: "read" | "written", path: string): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  const failure = (code: "not_found" | "invalid_argument" | "load_failed", text: string): ServableError =>
    new ServableError(code, `${path} ${text}`, { cause: thrown });
  switch (systemCode(thrown)) {
    case "ENOENT":
      return failure("not_found", "does not exist.");
    case "ENOTDIR":
      return failure("invalid_argument", "can't be: a part of its path is a file, not a folder.");
    case "EISDIR":
      return failure("invalid_argument", "is a folder, not a file.");
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return failure("invalid_argument", `may not be ${use} by this user.`);
    case "ENOSPC":
    case "EDQUOT":
      return failure("load_failed", "can't be written: the disk is full.");
    case "ENAMETOOLONG":
      return failure("invalid_argument", "can't be: a name in it is too long for this file system.");
    default:
      return failure("load_failed", `can't be ${use}: ${messageOf(thrown)}`);
  }
}
