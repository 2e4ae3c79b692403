import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { basename, relative, resolve } from "node:path";
import { ServableError } from "../errors.ts";
import { installPackages } from "./npm-install.ts";
import { checkPackageName } from "./package-name.ts";
import { resolveSpec } from "./package-spec.ts";
import { shellWord } from "./print.ts";
import { writeTemplate } from "./template.ts";

/** What the flags of `init` say. */
export interface ProjectFlags {
  readonly servable?: string;
  readonly install: boolean;
}

/**
 * Makes a project in a new folder, and installs its packages.
 *
 * @throws ServableError `invalid_argument` for a folder, a name or a spec that won't do; `load_failed` where npm fails
 */
export async function makeProject(given: string, flags: ProjectFlags): Promise<void> {
  const folder = resolve(given);
  const name = checkPackageName(basename(folder));
  const spec = resolveSpec(flags.servable);
  await refuseUsedFolder(folder, given);
  await mkdir(folder, { recursive: true });
  const files = await writeTemplate(folder, { name, servable: spec });
  const shown = relative(process.cwd(), folder) || ".";
  process.stdout.write(`Made ${shown} with ${files.join(", ")}\n`);
  if (flags.install) await installPackages(folder, shown);
  process.stdout.write(nextSteps(shown, flags.install));
}

async function refuseUsedFolder(folder: string, given: string): Promise<void> {
  if (!existsSync(folder)) return;
  let entries: readonly string[];
  try {
    entries = await readdir(folder);
  } catch (thrown) {
    throw new ServableError("invalid_argument", `${given} is a file; give a folder that does not exist yet.`, { cause: thrown });
  }
  const [first] = entries.filter((entry) => entry !== ".git");
  if (first !== undefined) {
    throw new ServableError("invalid_argument", `${given} is not empty (it has ${first}); give a folder that is, or does not exist yet.`);
  }
}

function nextSteps(shown: string, isInstalled: boolean): string {
  const commands = [
    ...(shown === "." ? [] : [`cd ${shellWord(shown)}`]),
    ...(isInstalled ? [] : ["npm install"]),
    "npm test             # the test passes",
    "npm run dev          # serves on http://127.0.0.1:3000, and again after each change",
    `npx servable call double '{"x":1}'`,
  ];
  return `\nNext:\n${commands.map((command) => `  ${command}\n`).join("")}`;
}
