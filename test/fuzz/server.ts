import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { writeModels } from "./models.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const startTimeoutMs = 120_000;
const stopTimeoutMs = 40_000;
const lastLines = 40;

/** Log lines that no input may bring about: something happened that nobody had foreseen. */
const unforeseen = /HTTP request of the model server failed|unhandled rejection|uncaught exception/;

/** The model server, as a user starts it, over a repository of its own. */
export class FuzzServer {
  readonly child: ChildProcess;
  readonly #folder: string;
  /** What it should not have logged, since the last look. */
  readonly #alarms: string[] = [];
  readonly #last: string[] = [];
  readonly #ports = new Map<string, string>();
  #errors = "";

  private constructor(folder: string) {
    this.#folder = folder;
    const ports = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"];
    this.child = spawn(
      process.execPath,
      [
        join(root, "dist/cli/main.js"),
        "models",
        "--model-repository",
        this.repository,
        "--model-control-mode=explicit",
        "--load-model=*",
        ...ports,
      ],
      // What a load brings along is written there, and has to be gone in the end.
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TMPDIR: this.temporary } },
    );
    this.child.stderr?.on("data", (part: Buffer) => (this.#errors += part.toString()));
    if (this.child.stdout !== null) createInterface(this.child.stdout).on("line", (line) => this.#read(line));
  }

  static async start(): Promise<FuzzServer> {
    const folder = await mkdtemp(join(tmpdir(), "servable-fuzz-"));
    await mkdir(join(folder, "outer", "temporary"), { recursive: true });
    await writeModels(join(folder, "outer", "models"));
    const server = new FuzzServer(folder);
    const patience = performance.now() + startTimeoutMs;
    while (server.#ports.size < 3) {
      if (server.hasExited || performance.now() > patience) throw new Error(`the server did not start:\n${server.story}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return server;
  }

  #read(line: string): void {
    this.#last.push(line);
    if (this.#last.length > lastLines) this.#last.shift();
    const [, front, address] = /Started (HTTP|GRPCInference|Metrics ?)Service at ([\d.:]+)/.exec(line) ?? [];
    if (front !== undefined && address !== undefined) this.#ports.set(front.trim(), address);
    else if (unforeseen.test(line)) this.#alarms.push(line);
  }

  get repository(): string {
    return join(this.#folder, "outer", "models");
  }

  /** The folder for its temporary files. */
  get temporary(): string {
    return join(this.#folder, "outer", "temporary");
  }

  get httpPort(): number {
    return Number(this.#ports.get("HTTP")?.split(":")[1]);
  }

  get grpcPort(): number {
    return Number(this.#ports.get("GRPCInference")?.split(":")[1]);
  }

  /** Whether there is no use in going on. */
  get isDoomed(): boolean {
    return this.hasExited || this.#alarms.some((line) => line.includes("uncaught exception"));
  }

  get hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Paths of this machine that no answer may tell of. */
  get secrets(): readonly string[] {
    return [this.#folder, root, "node_modules", "node:internal", "servable-model-"];
  }

  /** What it logged and should not have, since the last time. */
  takeAlarms(): readonly string[] {
    return this.#alarms.splice(0);
  }

  /** For who has to find out what went wrong. */
  get story(): string {
    return [...this.#last, this.#errors].join("\n");
  }

  /** What stands outside the repository and should not: an override that was written where it likes. */
  async strays(): Promise<readonly string[]> {
    const [outside, around] = await Promise.all([readdir(this.#folder), readdir(join(this.#folder, "outer"))]);
    return [...outside.filter((name) => name !== "outer"), ...around.filter((name) => name !== "models" && name !== "temporary")];
  }

  /** Memory in use, in MiB. */
  async residentMiB(): Promise<number> {
    const status = await readFile(`/proc/${this.child.pid ?? 0}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  /** @returns what is wrong with its end */
  async stop(): Promise<readonly string[]> {
    const wrong: string[] = [];
    if (this.hasExited) wrong.push(`the server ended by itself:\n${this.story}`);
    else {
      const closed = once(this.child, "close");
      const timer = setTimeout(() => {
        wrong.push("it did not end at SIGTERM");
        this.child.kill("SIGKILL");
      }, stopTimeoutMs);
      this.child.kill("SIGTERM");
      await closed;
      clearTimeout(timer);
      if (this.child.exitCode !== 0)
        wrong.push(`it ended with ${this.child.exitCode ?? this.child.signalCode ?? "nothing"}:\n${this.story}`);
      const left = await readdir(this.temporary);
      if (left.length > 0) wrong.push(`temporary files were left: ${left.slice(0, 10).join(", ")}`);
    }
    wrong.push(...this.#alarms);
    if (this.#errors !== "") wrong.push(`it wrote to standard error: ${this.#errors}`);
    wrong.push(...(await this.strays()).map((name) => `it wrote outside the repository: ${name}`));
    await rm(this.#folder, { recursive: true, force: true });
    return wrong;
  }
}
