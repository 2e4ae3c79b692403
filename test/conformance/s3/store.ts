/** A real S3-compatible store for one run: SeaweedFS, from PyPI, in a virtual environment of its own. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const startTimeoutMs = 90_000;

/** The store's only user. */
export const credentials = { accessKeyId: "conformance", secretAccessKey: "conformance-secret" };

/** A store that runs. */
export interface Store {
  readonly endpoint: string;
  readonly port: number;
  /** Where it keeps what it has to. */
  readonly folder: string;
  stop(): Promise<void>;
}

/** Starts one that keeps its files, and its log, in a folder. */
export async function startStore(folder: string): Promise<Store> {
  const weed = install();
  const config = path.join(folder, "identities.json");
  const identity = { name: "conformance", credentials: [{ accessKey: credentials.accessKeyId, secretKey: credentials.secretAccessKey }] };
  writeFileSync(config, JSON.stringify({ identities: [{ ...identity, actions: ["Admin", "Read", "Write", "List", "Tagging"] }] }));
  const data = path.join(folder, "data");
  mkdirSync(data);
  const [master, masterGrpc, volume, volumeGrpc, filer, filerGrpc, s3, s3Grpc] = await freePorts(8);
  const log = openSync(path.join(folder, "store.log"), "w");
  const args = [
    "server",
    `-dir=${data}`,
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    `-master.port=${master}`,
    `-master.port.grpc=${masterGrpc}`,
    "-master.volumeSizeLimitMB=256",
    `-volume.port=${volume}`,
    `-volume.port.grpc=${volumeGrpc}`,
    "-volume.max=16",
    "-filer",
    `-filer.port=${filer}`,
    `-filer.port.grpc=${filerGrpc}`,
    "-s3",
    `-s3.port=${s3}`,
    `-s3.port.grpc=${s3Grpc}`,
    `-s3.config=${config}`,
  ];
  // Where it would leave further logs behind.
  const env = { ...process.env, TMPDIR: folder };
  const child = spawn(weed, args, { cwd: folder, env, stdio: ["ignore", log, log] });
  const store: Store = { endpoint: `http://127.0.0.1:${s3}`, port: s3 ?? 0, folder, stop: () => stop(child) };
  try {
    await ready(child, store.endpoint);
  } catch (thrown) {
    await store.stop();
    throw new Error(`${String(thrown)}\n${readFileSync(path.join(folder, "store.log"), "utf8").split("\n").slice(-30).join("\n")}`);
  }
  return store;
}

function install(): string {
  const requirements = path.join(here, "requirements.txt");
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const folder = path.join(here, "..", ".cache", `s3-${digest}`);
  const stamp = path.join(folder, "complete");
  if (!existsSync(stamp)) {
    process.stdout.write(`installing ${requirements}\n`);
    must("python3", "-m", "venv", "--clear", folder);
    must(
      path.join(folder, "bin", "python"),
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "--requirement",
      requirements,
    );
    writeFileSync(stamp, "");
  }
  return path.join(folder, "bin", "weed");
}

function must(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? `exit code ${String(status)}`}`);
}

/** All at the same time, so that no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => {
            const address = server.address();
            resolve(typeof address === "object" && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function ready(child: ChildProcess, endpoint: string): Promise<void> {
  const until = Date.now() + startTimeoutMs;
  while (Date.now() < until) {
    if (child.exitCode !== null) throw new Error(`the store ended with exit code ${child.exitCode}`);
    const answer = await fetch(endpoint, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (answer !== undefined && answer.status < 500) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`the store was not ready within ${startTimeoutMs} ms`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
  await ended;
  clearTimeout(timer);
}
