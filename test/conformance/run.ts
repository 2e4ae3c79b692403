/**
 * Runs the real clients against a server: `tritonclient` over HTTP and gRPC, from PyPI, in a virtual environment of their own. The same
 * suite runs against the real tritonserver, which is what shows that the suite itself is right.
 *
 * usage: npm run test:conformance -- [--server servable|triton]
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
const { values } = parseArgs({ options: { server: { type: "string", default: "servable" } } });
const startTimeoutMs = 120_000;

interface Start {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Whose contract it keeps. */
  readonly version: string;
}

interface Ports {
  readonly http: number;
  readonly grpc: number;
  readonly metrics: number;
}

/** The Python of a virtual environment that holds what a file of requirements says; made where it is not there yet. */
function python(name: string): string {
  const requirements = path.join(here, name, "requirements.txt");
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const folder = path.join(here, ".cache", `${name}-${digest}`);
  const interpreter = path.join(folder, "bin", "python");
  const stamp = path.join(folder, "complete");
  if (!existsSync(stamp)) {
    process.stdout.write(`installing ${requirements}\n`);
    must("python3", "-m", "venv", "--clear", folder);
    must(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements);
    writeFileSync(stamp, "");
  }
  return interpreter;
}

function must(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? `exit code ${String(status)}`}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
  });
}

/** The flags are the same: that is the point. */
function flags(repository: string, ports: Ports, models: readonly string[]): readonly string[] {
  return [
    `--model-repository=${repository}`,
    "--model-control-mode=explicit",
    ...models.map((model) => `--load-model=${model}`),
    "--http-address=127.0.0.1",
    "--grpc-address=127.0.0.1",
    "--metrics-address=127.0.0.1",
    `--http-port=${ports.http}`,
    `--grpc-port=${ports.grpc}`,
    `--metrics-port=${ports.metrics}`,
  ];
}

function servable(repository: string, ports: Ports, models: readonly string[]): Start {
  const args = [path.join(root, "dist", "cli", "main.js"), "models", ...flags(repository, ports, models)];
  return { command: process.execPath, args, environment: {}, version: "2.73" };
}

/** The tritonserver that PyTriton's package carries, with a backend for ONNX models beside its Python backend. */
function triton(repository: string, ports: Ports, models: readonly string[], scratch: string): Start {
  const interpreter = python("real_triton");
  const ask = "import sysconfig; print(sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'), sysconfig.get_python_version())";
  const [packages = "", libraries = "", version = ""] = spawnSync(interpreter, ["-c", ask], { encoding: "utf8" }).stdout.trim().split(" ");
  const carried = path.join(packages, "pytriton", "tritonserver");
  const backends = path.join(scratch, "backends");
  cpSync(path.join(carried, "backends", "python"), path.join(backends, "python"), { recursive: true });
  const stub = path.join(carried, "python_backend_stubs", version);
  for (const file of readdirSync(stub)) cpSync(path.join(stub, file), path.join(backends, "python", file));
  mkdirSync(path.join(backends, "onnxruntime"));
  cpSync(path.join(here, "real_triton", "model.py"), path.join(backends, "onnxruntime", "model.py"));
  return {
    command: path.join(carried, "bin", "tritonserver"),
    args: [...flags(repository, ports, models), `--backend-directory=${backends}`],
    environment: {
      // The stub needs the very library that its Python uses.
      LD_LIBRARY_PATH: [path.join(packages, "nvidia_pytriton.libs"), libraries].join(":"),
      PYTHONPATH: packages,
      MODEL_ROOTS: repository,
    },
    version: "2.51",
  };
}

async function ready(server: ChildProcess, port: number): Promise<void> {
  const until = Date.now() + startTimeoutMs;
  while (Date.now() < until) {
    if (server.exitCode !== null) throw new Error(`the server ended with exit code ${server.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/v2/health/ready`).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the server was not ready within ${startTimeoutMs} ms`);
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  const timer = setTimeout(() => server.kill("SIGKILL"), 40_000);
  await ended;
  clearTimeout(timer);
}

function lastLines(file: string): string {
  if (!existsSync(file)) return "";
  return ["The server's last lines:", ...readFileSync(file, "utf8").trim().split("\n").slice(-60), ""].join("\n");
}

const isReal = values.server === "triton";
const scratch = mkdtempSync(path.join(tmpdir(), "servable-conformance-"));
let server: ChildProcess | undefined;
try {
  const clients = python("clients");
  const repository = path.join(scratch, "models");
  must(clients, path.join(here, "make_repository.py"), repository);
  // Its state is kept by the server for the model, which Triton's Python backends don't know.
  if (isReal) rmSync(path.join(repository, "accumulator"), { recursive: true });
  const models = readdirSync(repository).filter((model) => model !== "broken");
  const ports: Ports = { http: await freePort(), grpc: await freePort(), metrics: await freePort() };
  const start = isReal ? triton(repository, ports, models, scratch) : servable(repository, ports, models);
  const log = openSync(path.join(scratch, "server.log"), "w");
  server = spawn(start.command, start.args, { env: { ...process.env, ...start.environment }, stdio: ["ignore", log, log] });
  await ready(server, ports.http);
  const { status } = spawnSync(clients, ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", here], {
    env: {
      ...process.env,
      HTTP_ADDRESS: `127.0.0.1:${ports.http}`,
      GRPC_ADDRESS: `127.0.0.1:${ports.grpc}`,
      METRICS_ADDRESS: `127.0.0.1:${ports.metrics}`,
      SERVER_VERSION: start.version,
      PYTHONDONTWRITEBYTECODE: "1",
    },
    stdio: ["ignore", "inherit", "inherit"],
  });
  process.exitCode = status ?? 1;
} catch (thrown) {
  process.exitCode = 1;
  process.stdout.write(`${String(thrown)}\n`);
} finally {
  if (server !== undefined) await stop(server);
  if (process.exitCode !== 0) process.stdout.write(lastLines(path.join(scratch, "server.log")));
  rmSync(scratch, { recursive: true, force: true });
}
