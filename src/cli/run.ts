import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { ServableError } from "../errors.ts";
import type { ServableConfig } from "./config.ts";
import { addServeFlags, firstGiven, httpOptionsOf, policyOf, type ServeFlags } from "./flags.ts";
import { serveModules } from "./serve.ts";

type RunFlags = ServeFlags & { readonly config?: string };

const defaultFile = "servable.yaml";
const examples = `
Flags win over the file. Paths in the file are relative to it:

  services:
    - module: ./double.ts
      policy: { placement: thread, workers: 2 }
  http:
    port: 8080
  log:
    format: json

Examples:
  servable run --config servable.yaml
  servable run --config servable.yaml --watch --log-format pretty
  servable run ./double.ts
`;

/** `servable run`: serves what one validated file says, or one module. */
export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description(`serve what a ${defaultFile} says, or one module`)
    .argument("[module]", "a file of services, instead of a configuration")
    .option("--config <file>", `the configuration (default: ./${defaultFile})`)
    .addHelpText("after", examples)
    .action((module: string | undefined, flags: RunFlags) => run(module, flags));
  addServeFlags(command);
}

async function run(module: string | undefined, flags: RunFlags): Promise<void> {
  if (module !== undefined && flags.config !== undefined) {
    throw new ServableError("invalid_argument", "Give run a module or --config, not both: a configuration names its modules itself.");
  }
  if (module !== undefined) return serveModules([module], flags);
  if (flags.config === undefined && !existsSync(defaultFile)) {
    throw new ServableError("invalid_argument", `Say what to run: a module, or --config <file>. There is no ./${defaultFile} here.`);
  }
  await runConfig(resolve(flags.config ?? defaultFile), flags);
}

async function runConfig(path: string, flags: ServeFlags): Promise<void> {
  const fromFlags = httpOptionsOf(flags);
  const { readConfig } = await import("./config.ts");
  if (flags.watch === true) {
    const { superviseWithWatch } = await import("./watch.ts");
    await superviseWithWatch({ folders: () => foldersOf(path, readConfig(path)), graceMs: fromFlags.graceMs ?? 0 });
  }
  const config = await readConfig(path);
  const { tokenFile, ...rest } = config.http;
  const fromFile = { ...rest, auth: tokenFile === undefined ? undefined : { tokenFile } };
  const [{ serveServices }, { ServiceLoader }] = await Promise.all([import("./serve-services.ts"), import("../service/loader.ts")]);
  await serveServices({
    find: async (log) => {
      const found = [];
      for (const { module, export: name, arguments: args, policy } of config.services) {
        log.info(`loading ${name === undefined ? module : `${name} of ${module}`}`);
        const loader = new ServiceLoader({ module, export: name, arguments: args });
        await loader.definition();
        found.push({ loader, policy: firstGiven(policyOf(flags), policy ?? {}) });
      }
      return found;
    },
    http: firstGiven(fromFlags, fromFile),
    log: firstGiven({ level: flags.logLevel, format: flags.logFormat }, config.log),
  });
}

/** What a change may come from: the configuration, and the modules that it names while it is valid. */
async function foldersOf(path: string, reading: Promise<ServableConfig>): Promise<readonly string[]> {
  const config = await reading.catch(() => undefined);
  const modules = config?.services.map(({ module }) => (module.startsWith("file:") ? fileURLToPath(module) : module)) ?? [];
  return [...new Set([path, ...modules].map((file) => dirname(file)))];
}
