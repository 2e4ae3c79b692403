import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { packageFolder, readPackageFacts } from "./package-facts.ts";

/** What differs from project to project. */
export interface TemplateFacts {
  readonly name: string;
  /** Where it takes servable from, as in package.json. */
  readonly servable: string;
}

/** Files that npm would leave out of a package, or read as its own, have other names in the template. */
const realNames: Readonly<Record<string, string>> = {
  gitignore: ".gitignore",
  npmrc: ".npmrc",
  "package.template.json": "package.json",
};

/** Writes the project's files into a folder. @returns their names */
export async function writeTemplate(folder: string, facts: TemplateFacts): Promise<readonly string[]> {
  const source = join(packageFolder, "templates", "service");
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => relative(source, join(entry.parentPath, entry.name)));
  const values = valuesOf(facts);
  const written: string[] = [];
  for (const file of files.sort()) {
    const name = join(dirname(file), realNames[file] ?? file.slice(dirname(file) === "." ? 0 : dirname(file).length + 1));
    const target = join(folder, name);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, fill(await readFile(join(source, file), "utf8"), values, file.endsWith(".json")));
    written.push(name.split(sep).join("/"));
  }
  return written;
}

function valuesOf({ name, servable }: TemplateFacts): Readonly<Record<string, string>> {
  const own = readPackageFacts();
  return { name, servable, ...own.devDependencies, ...own.dependencies };
}

/** Puts values in the place of `{{name}}`; in JSON, as they stand within quotes. */
function fill(text: string, values: Readonly<Record<string, string>>, isJson: boolean): string {
  return text.replaceAll(/\{\{([^{}]+)\}\}/g, (whole, key: string) => {
    const value = values[key];
    if (value === undefined) return whole;
    return isJson ? JSON.stringify(value).slice(1, -1) : value;
  });
}
