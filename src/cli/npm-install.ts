import { spawn } from "node:child_process";
import { once } from "node:events";
import { ServableError, messageOf } from "../errors.ts";
import { shellWord } from "./print.ts";

/**
 * Runs `npm install` in a folder, its output shown.
 *
 * @throws ServableError `load_failed` that says how to go on by hand
 */
export async function installPackages(folder: string, shown: string): Promise<void> {
  process.stdout.write("Installing its packages with npm install; this takes a moment.\n");
  const reason = await runNpm(folder);
  if (reason === undefined) return;
  const change = shown === "." ? "" : `cd ${shellWord(shown)} && `;
  throw new ServableError(
    "load_failed",
    `npm install failed (${reason}); the files are there. Mend what npm says above, then: ${change}npm install`,
  );
}

/** @returns why it failed; undefined where it did not */
async function runNpm(folder: string): Promise<string | undefined> {
  // The npm that runs us, if one does; on Windows the other is a script, which takes a shell.
  const npm = process.env.npm_execpath;
  const [command, before, shell] =
    npm !== undefined && /npm-cli\.c?js$/.test(npm) ? [process.execPath, [npm], false] : ["npm", [], process.platform === "win32"];
  const child = spawn(command, [...before, "install", "--no-fund", "--no-audit"], {
    cwd: folder,
    env: environment(),
    shell,
    stdio: "inherit",
  });
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    return code === 0 ? undefined : (signal ?? `exit code ${code ?? "unknown"}`);
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** Without what npx says to the programs that it runs: where the project around us is, and its scripts. */
function environment(): NodeJS.ProcessEnv {
  const own = /^(INIT_CWD|npm_(package_|lifecycle_|command$|config_(local_prefix|prefix|noproxy|global|onnxruntime_)))/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}
