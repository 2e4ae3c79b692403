/** Starts a server as a process of its own, pinned to one core where the system can do that. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { treeOf } from "./process-tree.ts";

/** What one measurement gave. */
export interface Sample {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** How a server is started. */
export interface ServerPlan {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Where it runs. @default here */
  readonly folder?: string | undefined;
  /** The core that it stays on; undefined: any. */
  readonly core: number | undefined;
  /** The file that gets what it writes to its standard error. @default ours */
  readonly errorFile?: string | undefined;
  /** Whether it can be measured. @default it answers, whatever it may say */
  readonly ready?: ((url: string) => Promise<boolean>) | undefined;
}

/** A server that runs until it is disposed of, with all processes it started. */
export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** A {@link RunningServer} whose answers can be checked. */
export interface PinnedServer extends AsyncDisposable {
  readonly url: string;
  /** Sends one request and compares the answer, so that no wrong answer is measured. */
  check(url: string, body: string, expected: string): Promise<void>;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 5_000;

/** Prefixes a command so that it stays on one core. */
export function pinned(core: number | undefined, command: readonly string[]): readonly string[] {
  return hasTaskset && core !== undefined ? ["taskset", "-c", String(core), ...command] : command;
}
const hasTaskset = spawnSync("taskset", ["--version"]).status === 0;

/** Starts a server, and resolves when it is ready. */
export async function startServer(plan: ServerPlan): Promise<RunningServer> {
  const [command = "", ...args] = pinned(plan.core, plan.command);
  const errors = plan.errorFile === undefined ? "inherit" : openSync(plan.errorFile, "w");
  const child = spawn(command, args, {
    stdio: ["ignore", "ignore", errors],
    cwd: plan.folder,
    env: { ...process.env, ...plan.environment },
  });
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  if (typeof errors === "number") closeSync(errors);
  const pid = child.pid ?? 0;
  const gone = (): boolean => child.exitCode !== null || child.pid === undefined;
  const stop = async (): Promise<void> => {
    if (child.pid === undefined) return;
    // Children that outlive their parent would go on using the core.
    const tree = treeOf(pid);
    child.kill("SIGTERM");
    await Promise.race([exited, pause(stopTimeoutMs)]);
    for (const member of tree) kill(member);
    if (!gone()) await exited;
  };
  const url = `http://127.0.0.1:${plan.port}`;
  try {
    await untilReady(url, gone, plan.ready ?? answers);
  } catch (error) {
    await stop();
    const said = plan.errorFile === undefined ? "" : readFileSync(plan.errorFile, "utf8").trim().slice(-1_000);
    throw new Error(`${String(error)}${said === "" ? "" : `\n${said}`}`, { cause: error });
  }
  return { url, pid, [Symbol.asyncDispose]: stop };
}

/** Starts a TypeScript server, which gets its port as its argument, on core 0. */
export async function pinnedServer(file: URL, environment: Readonly<Record<string, string>>): Promise<PinnedServer> {
  const port = await freePort();
  const command = [process.execPath, "--import", "tsx", fileURLToPath(file), String(port)];
  const server = await startServer({ command, port, environment, core: 0 });
  return {
    url: server.url,
    async check(target, body, expected) {
      const response = await fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body });
      const text = await response.text();
      if (text !== expected) throw new Error(`${fileURLToPath(file)} answered ${response.status} ${text} instead of ${expected}`);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself, as it should.
  }
}

async function answers(url: string): Promise<boolean> {
  await (await fetch(url)).body?.cancel();
  return true;
}

async function untilReady(url: string, gone: () => boolean, ready: (url: string) => Promise<boolean>): Promise<void> {
  const end = Date.now() + startTimeoutMs;
  while (Date.now() < end) {
    if (gone()) throw new Error("The server ended before it answered.");
    try {
      if (await ready(url)) return;
    } catch {
      // It does not listen yet.
    }
    await pause(50);
  }
  throw new Error(`The server did not answer as it should within ${startTimeoutMs} ms.`);
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
