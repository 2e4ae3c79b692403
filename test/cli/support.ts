import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url));
/** The tool as it is built. */
const cli: string = join(root, "dist", "cli", "main.js");
/** A module of services to serve. */
export const servicesModule: string = fileURLToPath(new URL("services.ts", import.meta.url));

/** How a command is run. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** What became of a command. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function environment(extra: CommandOptions["env"]): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^(SERVABLE_|npm_|VITEST|NODE_OPTIONS)/.test(name));
  return { ...Object.fromEntries(own), ...extra };
}

/** Runs a command to its end. */
export async function runCli(
  parameters: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult & { readonly bytes: Buffer }> {
  const child = spawn(process.execPath, [cli, ...parameters], { cwd: options.cwd, env: environment(options.env) });
  const out: Buffer[] = [];
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => out.push(part));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  child.stdin.end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  const bytes = Buffer.concat(out);
  return { code, stdout: bytes.toString(), stderr, bytes };
}

/** One line of the log, as JSON. */
export type LogLine = Readonly<Record<string, unknown>>;

/** How a command that serves is run. */
export interface ServerOptions extends CommandOptions {
  /** Puts a shell in between, as npm does: `child` is then the shell, and `exited` waits for both. */
  readonly underShell?: boolean;
}

/** A command that serves. */
export class Server {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly #exited: Promise<number | string>;
  #exit: number | string | undefined;

  constructor(parameters: readonly string[], options: ServerOptions = {}) {
    const { cwd } = options;
    const words = [process.execPath, cli, ...parameters];
    // With something to do after it, no shell lets the command take its own place.
    const [program = "", ...rest] = options.underShell === true ? ["sh", "-c", '"$@"; exit $?', "sh", ...words] : words;
    const child = spawn(program, rest, { cwd, env: environment(options.env), stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    child.stdout.on("data", (part: Buffer) => (this.stdout += part.toString()));
    child.stderr.on("data", (part: Buffer) => (this.stderr += part.toString()));
    this.#exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#exit = code ?? signal ?? "unknown";
        resolve(this.#exit);
      });
    });
  }

  /** The exit code, or the signal that ended it, once it has ended. */
  get exited(): Promise<number | string> {
    return this.#exited;
  }

  get hasExited(): boolean {
    return this.#exit !== undefined;
  }

  get log(): readonly LogLine[] {
    const lines = this.stdout.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"));
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Waits until something holds; gives up, with what was printed, where the process ends first or nothing comes of it. */
  async until<T>(probe: () => T | Promise<T>): Promise<NonNullable<Exclude<T, false>>> {
    const patience = performance.now() + 25_000;
    for (;;) {
      if (performance.now() > patience) throw new Error(`waited in vain:\n${this.stdout}\n${this.stderr}`);
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value as NonNullable<Exclude<T, false>>;
      if (this.hasExited) throw new Error(`it ended with ${String(this.#exit)}:\n${this.stdout}\n${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Where it serves, once it is ready. @param count - how many times it must have become ready */
  url(count = 1): Promise<string> {
    return this.until(() => this.log.filter(({ msg }) => msg === "ready")[count - 1]?.url as string | undefined);
  }

  async stop(): Promise<void> {
    if (this.hasExited) return;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 20_000);
    await this.#exited;
    clearTimeout(timer);
  }
}

/**
 * Stops the process of a server, has something done that only the system takes notice of, and lets the process find it together with a SIGTERM. On Linux
 * only.
 */
export async function unseen(server: Server, act: () => Promise<void> | void): Promise<void> {
  const { child } = server;
  child.kill("SIGSTOP");
  await server.until(() => readFileSync(`/proc/${child.pid ?? 0}/stat`, "utf8").includes(") T "));
  await act();
  child.kill("SIGTERM");
  child.kill("SIGCONT");
}

/** A folder for one test, inside the repository, where modules find `servable` and `zod` as a user's do. */
export async function makeFolder(): Promise<string> {
  const parent = join(root, ".cache");
  await mkdir(parent, { recursive: true });
  return mkdtemp(join(parent, "cli-"));
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Waits for a file that a service writes. */
export async function untilExists(file: string, server: Server): Promise<void> {
  await server.until(() => existsSync(file));
}

export async function post(url: string, body: unknown): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}
