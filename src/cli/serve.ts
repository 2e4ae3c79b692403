import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { addServeFlags, httpOptionsOf, policyOf, type ServeFlags } from "./flags.ts";

const examples = `
Examples:
  servable serve ./double.ts
  servable serve ./double.ts --watch --port 8080
  servable serve ./ocr.ts ./double.ts --workers 2 --placement thread
  servable serve ./double.ts --host 0.0.0.0 --token-file ./tokens.txt
`;

/** `servable serve`: serves every service that modules export. */
export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .description("serve every service that modules export, over HTTP")
    .argument("<module...>", "files, TypeScript or JavaScript")
    .addHelpText("after", examples)
    .action((modules: readonly string[], flags: ServeFlags) => serveModules(modules, flags));
  addServeFlags(command);
}

/** Serves every service that modules export, until something ends the process. */
export async function serveModules(modules: readonly string[], flags: ServeFlags): Promise<void> {
  const http = httpOptionsOf(flags);
  if (flags.watch === true) {
    const { superviseWithWatch } = await import("./watch.ts");
    const folders = [...new Set(modules.map((module) => dirname(resolve(module))))];
    await superviseWithWatch({ folders: () => Promise.resolve(folders), graceMs: http.graceMs ?? 0 });
  }
  const [{ serveServices }, { discoverServices }] = await Promise.all([import("./serve-services.ts"), import("../service/loader.ts")]);
  const policy = policyOf(flags);
  await serveServices({
    find: async (log) => {
      const found = [];
      for (const module of modules) {
        log.info(`loading ${module}`);
        const loaders = await discoverServices(module);
        found.push(...loaders.map((loader) => ({ loader, policy })));
      }
      return found;
    },
    http,
    log: { level: flags.logLevel, format: flags.logFormat },
  });
}
