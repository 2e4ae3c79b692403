import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { relative, sep } from "node:path";
import { watch as watchFiles, type FSWatcher } from "chokidar";
import { onEndSignals, onNpmGone } from "./lifecycle.ts";

/** What a service is made of. A log or a result that is written into the folder must not start it again, for ever. */
const watchedFiles = /\.([cm]?[jt]sx?|json|ya?ml|onnx|wasm)$/;
/** An editor that saves writes several times. */
const debounceMs = 100;
/** Beyond its grace time; one that takes longer hangs. */
const closingMs = 5_000;
const supervisedVariable = "SERVABLE_SUPERVISED";
const stopMessage = "stop";

/** What a {@link Supervisor} watches and runs. */
export interface SupervisorOptions {
  /** The folders to watch; asked before every start, because a change may change them. */
  readonly folders: () => Promise<readonly string[]>;
  /** Time for requests in flight. */
  readonly graceMs: number;
}

/**
 * Serves in a child process, and in a new one whenever a file changes: nothing of the old code can stay behind.
 * Returns never: a signal ends the process, and the child first.
 */
export async function superviseWithWatch(options: SupervisorOptions): Promise<never> {
  const supervisor = new Supervisor(options);
  onEndSignals(
    () => void supervisor.end(),
    (exitCode) => {
      supervisor.kill();
      process.exit(exitCode);
    },
  );
  onNpmGone(() => {
    say("npm, which started this, is gone; stopping");
    void supervisor.end();
  });
  await supervisor.start();
  return new Promise(() => undefined);
}

/**
 * In a child of a {@link Supervisor}: has `stop` called when the supervisor says so, or is gone.
 *
 * @returns whether this is one
 */
export function obeySupervisor(stop: () => void): boolean {
  if (process.env[supervisedVariable] === undefined || process.send === undefined) return false;
  // Not for the processes that a service starts.
  Reflect.deleteProperty(process.env, supervisedVariable);
  process.on("message", (message) => {
    if (message === stopMessage) stop();
  });
  process.on("disconnect", stop);
  return true;
}

class Supervisor {
  readonly #options: SupervisorOptions;
  #folders: readonly string[] = [];
  #watcher: FSWatcher | undefined;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reloading: Promise<void> | undefined;
  #changedMeanwhile = false;
  #ending: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#watchFolders();
    this.#startChild();
  }

  /** Stops the child, then ends this process. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#watcher?.close();
    await this.#reloading;
    await this.#stopChild();
    process.exit(0);
  }

  /** Ends the child at once. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  async #watchFolders(): Promise<void> {
    const folders = await this.#options.folders();
    if (this.#watcher !== undefined && folders.join("\0") === this.#folders.join("\0")) return;
    await this.#watcher?.close();
    this.#folders = folders;
    const watcher = watchFiles([...folders], { ignoreInitial: true, ignored: (path) => isIgnored(path, folders) });
    this.#watcher = watcher;
    watcher.on("all", (_event, path) => {
      if (!watchedFiles.test(path)) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.#changed(path);
      }, debounceMs);
    });
    watcher.on("error", (thrown) => {
      say(`watching failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    });
    await once(watcher, "ready");
  }

  #changed(path: string): void {
    if (this.#ending !== undefined) return;
    if (this.#reloading !== undefined) {
      this.#changedMeanwhile = true;
      return;
    }
    say(`${relative(process.cwd(), path)} changed, starting again`);
    this.#reloading = this.#reload().finally(() => {
      this.#reloading = undefined;
      if (!this.#changedMeanwhile) return;
      this.#changedMeanwhile = false;
      this.#changed(path);
    });
  }

  async #reload(): Promise<void> {
    await this.#stopChild();
    await this.#watchFolders();
    if (this.#ending === undefined) this.#startChild();
  }

  #startChild(): void {
    const [script = "", ...parameters] = process.argv.slice(1);
    const env = { ...process.env, [supervisedVariable]: "1" };
    const child = fork(script, withoutWatch(parameters), { env, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child = child;
    child.once("exit", (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#ending !== undefined) return;
      if (code === 0) void this.end();
      else say(`it ended${signal === null ? "" : ` by ${signal}`}; waiting for a change`);
    });
  }

  async #stopChild(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    // A message, not a signal: it means the same on every system. One that dies right now takes none.
    child.send(stopMessage, () => undefined);
    const timer = setTimeout(() => child.kill("SIGKILL"), this.#options.graceMs + closingMs);
    await exited;
    clearTimeout(timer);
  }
}

function withoutWatch(parameters: readonly string[]): readonly string[] {
  const end = parameters.indexOf("--");
  return parameters.filter((parameter, index) => parameter !== "--watch" || (end !== -1 && index > end));
}

/** Told from the watched folder on: that folder may itself lie below one that would be ignored. */
function isIgnored(path: string, folders: readonly string[]): boolean {
  return !folders.some((folder) => {
    const below = relative(folder, path).split(sep);
    return below[0] !== ".." && !below.some((name) => name === "node_modules" || name === "dist" || name.startsWith("."));
  });
}

function say(text: string): void {
  process.stderr.write(`servable: ${text}\n`);
}
