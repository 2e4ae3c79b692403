/** Starts a server as a process of its own, pinned to core 0 where the system can do that. */
import { spawn, spawnSync } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** What one measurement gave. */
export interface Sample {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** A server that runs until it is disposed of. */
export interface PinnedServer extends AsyncDisposable {
  readonly url: string;
  /** Sends one request and compares the answer, so that no wrong answer is measured. */
  check(url: string, body: string, expected: string): Promise<void>;
}

const startTimeoutMs = 20_000;

/** Prefixes a command so that it stays on one core. */
export function pinned(core: number, command: readonly string[]): readonly string[] {
  return hasTaskset ? ["taskset", "-c", String(core), ...command] : command;
}
const hasTaskset = spawnSync("taskset", ["--version"]).status === 0;

/** Starts a TypeScript server, which gets its port as its argument. */
export async function pinnedServer(file: URL, environment: Readonly<Record<string, string>>): Promise<PinnedServer> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const [command = "", ...args] = pinned(0, [process.execPath, "--import", "tsx", fileURLToPath(file), String(port)]);
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...environment } });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await untilAnswers(url, () => child.exitCode !== null);
  return {
    url,
    async check(target, body, expected) {
      const response = await fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body });
      const text = await response.text();
      if (text !== expected) throw new Error(`${fileURLToPath(file)} answered ${response.status} ${text} instead of ${expected}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await Promise.race([exited, pause(3_000)]);
      child.kill("SIGKILL");
      await exited;
    },
  };
}

async function untilAnswers(url: string, gone: () => boolean): Promise<void> {
  const end = Date.now() + startTimeoutMs;
  while (Date.now() < end) {
    if (gone()) throw new Error("The server ended before it answered.");
    try {
      await (await fetch(url)).body?.cancel();
      return;
    } catch {
      await pause(50);
    }
  }
  throw new Error(`The server did not answer within ${startTimeoutMs} ms.`);
}

async function freePort(): Promise<number> {
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
