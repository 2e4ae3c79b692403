/** The servers and the Pythons that the conformance suite runs with. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { EngineLogger, TritonModelServerOptions } from "servable/triton";

/** Where the suite is. */
export const here: string = fileURLToPath(new URL(".", import.meta.url));

/** The Python of a virtual environment that holds what a file of requirements says; made where it is not there yet. */
export function python(name: string): string {
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

/** The least glibc that perf_analyzer runs on. */
const perfAnalyzerGlibc = [2, 38] as const;

/**
 * The command that runs perf_analyzer; undefined where the machine's glibc is too old for it. The variable PERF_ANALYZER says another one, such as one that
 * goes through the loader of a newer glibc.
 */
export function perfAnalyzer(): string | undefined {
  const { PERF_ANALYZER: given } = process.env;
  if (given !== undefined && given !== "") return given;
  const { header } = process.report.getReport() as { readonly header: { readonly glibcVersionRuntime?: string } };
  const [major = 0, minor = 0] = (header.glibcVersionRuntime ?? "").split(".").map(Number);
  const [leastMajor, leastMinor] = perfAnalyzerGlibc;
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) return undefined;
  return path.join(path.dirname(python("perf_analyzer")), "perf_analyzer");
}

/** Runs a program, and throws where it fails. */
export function must(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? `exit code ${String(status)}`}`);
}

/** Which server is tried: this package's own, or the real one. */
export type ServerName = "servable" | "triton";

/** Why the real tritonserver can't run on this machine; undefined where it can. */
export function whyNoTriton(): string | undefined {
  const { platform, arch } = process;
  if (platform === "linux" && arch === "x64") return undefined;
  return `PyPI has it for Linux on x64, and this machine is ${platform} on ${arch}`;
}

/** What a {@link TritonModelServer} needs to run one of them over repositories that lie where `modelRoots` says. */
export function serverOptions(server: ServerName, scratch: string, modelRoots: string): Partial<TritonModelServerOptions> {
  return server === "triton" ? realTriton(scratch, modelRoots) : { binary: "no-tritonserver-here", fallback: "servable" };
}

/** The tritonserver that PyTriton's package carries, with a backend for ONNX models beside its Python backend. */
function realTriton(scratch: string, modelRoots: string): Partial<TritonModelServerOptions> {
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
    binary: path.join(carried, "bin", "tritonserver"),
    backendDirectory: backends,
    environment: {
      // The stub needs the very library that its Python uses.
      LD_LIBRARY_PATH: [path.join(packages, "nvidia_pytriton.libs"), libraries].join(":"),
      PYTHONPATH: packages,
      MODEL_ROOTS: modelRoots,
    },
  };
}

/** One line of a server's log. */
export interface KeptLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: object;
  readonly text: string;
}

/** A logger that keeps its lines. */
export function keepLines(lines: KeptLine[]): EngineLogger {
  const method =
    (level: KeptLine["level"]) =>
    (fields: object | string, text = ""): void => {
      lines.push(typeof fields === "string" ? { level, fields: {}, text: fields } : { level, fields, text });
    };
  return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error"), child: () => keepLines(lines) };
}

/** The last lines of a log, to be read by a person. */
export function lastLines(lines: readonly KeptLine[]): string {
  return [
    "The server's last lines:",
    ...lines.slice(-60).map(({ level, fields, text }) => `${level} ${text} ${JSON.stringify(fields)}`),
    "",
  ].join("\n");
}
