import { builtinModules } from "node:module";
import { ServableError } from "../errors.ts";

const longestName = 214;
/** What the project depends on: npm installs no package into one of the same name. */
const dependencies: ReadonlySet<string> = new Set(["servable", "zod", "tsx", "typescript"]);
const reserved: ReadonlySet<string> = new Set(["node_modules", "favicon.ico", ...builtinModules]);

/**
 * Holds a name to npm's rules.
 *
 * @returns the name
 * @throws ServableError `invalid_argument` that proposes another
 */
export function checkPackageName(name: string): string {
  const reason = whyNot(name);
  if (reason === undefined) return name;
  const other = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9._~-]+/g, "-")
    .replaceAll(/^[._-]+|-+$/g, "")
    .slice(0, longestName);
  const proposal = [other, `${other}-service`, "my-service"].find((candidate) => whyNot(candidate) === undefined) ?? "my-service";
  throw new ServableError("invalid_argument", `'${name}' can't be a package's name: ${reason}. Take ${proposal}, say.`);
}

function whyNot(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (name.length > longestName) return `it has more than ${longestName} characters`;
  if (/[A-Z]/.test(name)) return "npm takes lower case only";
  if (/^[._-]/.test(name)) return "it must start with a letter or a digit";
  if (!/^[a-z0-9._~-]+$/.test(name)) return "npm takes letters, digits, - . _ and ~ only";
  if (dependencies.has(name)) return "the project depends on a package of that name";
  if (reserved.has(name)) return "the name is reserved";
  return undefined;
}
