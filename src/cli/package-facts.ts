import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of this package: the one above `dist/` or `src/`. */
export const packageFolder: string = fileURLToPath(new URL("../../", import.meta.url));

/** What this package's own package.json says. */
export interface PackageFacts {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** Reads this package's own package.json. */
export function readPackageFacts(): PackageFacts {
  // Our own file, which is written and tested with this code; a schema library would make every command start slower.
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as PackageFacts;
}
