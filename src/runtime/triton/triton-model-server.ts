import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EngineLogger } from "../../engine/observer.ts";
import { RestartPolicy } from "../../engine/placement/restart-policy.ts";
import { ServableError, messageOf } from "../../errors.ts";
import { loggerOf } from "../../telemetry/logs.ts";
import type { Runtime } from "../runtime.ts";
import { findRepository } from "./find-repository.ts";
import { findServer, type FoundServer } from "./find-server.ts";
import { authority, launchServer, stoppedEarly, type Running, type Setting } from "./launch-server.ts";
import { resolveTritonOptions, type ResolvedTritonOptions, type TritonModelServerOptions } from "./options.ts";
import { makeOwnRepository } from "./own-repository.ts";
import { choosePorts, type ChosenPorts } from "./ports.ts";
import type { ServerExit } from "./server-process.ts";

/** How a {@link TritonModelServer} is. */
export interface TritonServerStatus {
  readonly state: "unstarted" | "starting" | "ready" | "restarting" | "failed" | "stopped";
  /** Which server runs: the real one, or this package's own in its place; undefined before it was looked for. */
  readonly server: "tritonserver" | "servable" | undefined;
  /** The server's process; undefined while there is none. */
  readonly pid: number | undefined;
  /** How often it was started anew after it had died. */
  readonly restarts: number;
  /** Why it died last; undefined where it never has. */
  readonly reason: string | undefined;
}

/** A server that was ready for this long does not die of its start. */
const soundMs = 10_000;
/** Between choosing a free port and its use somebody else may take it. */
const portTries = 3;

/**
 * Runs a `tritonserver` over a model repository, as a child process: started with its models replicated as asked for, waited for until it is ready, its
 * log handed on, started anew when it dies, stopped in good order. Nothing of it outlives this process, however that ends.
 *
 * Five deaths within 60 s, each within 10 s of getting ready or before, are a crash loop: it stays down, `failure` says why, and `stopped` resolves.
 *
 * @example
 * ```ts
 * import { OpenInferenceClient } from "servable/client";
 * import { TritonModelServer } from "servable/triton";
 *
 * const server = new TritonModelServer({
 *   artifact: "./models",
 *   modelNamesToReplication: { classifier: 2 },
 *   fallback: "servable",
 *   ports: { http: 0, grpc: 0, metrics: 0 },
 * });
 * await server.start();
 * const client = new OpenInferenceClient(server.url);
 * const { outputs } = await client.infer("classifier", { x: { shape: [1, 64], data: new Float32Array(64) } });
 * await server.stop();
 * ```
 */
export class TritonModelServer implements Runtime {
  readonly stopped: Promise<void>;
  readonly #options: TritonModelServerOptions;
  readonly #resolved: ResolvedTritonOptions;
  readonly #stop = new AbortController();
  readonly #policy = new RestartPolicy();
  #state: TritonServerStatus["state"] = "unstarted";
  #setting: Setting | undefined;
  #running: Running | undefined;
  #ownFolder: string | undefined;
  #restarts = 0;
  #reason: string | undefined;
  #failure: ServableError | undefined;
  #starting: Promise<void> | undefined;
  #supervision: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #markStopped: () => void = () => undefined;

  /** @throws ServableError `invalid_config` */
  constructor(options: TritonModelServerOptions) {
    this.#options = options;
    this.#resolved = resolveTritonOptions(options);
    this.stopped = new Promise((resolve) => {
      this.#markStopped = resolve;
    });
  }

  /** Where it speaks HTTP, such as `http://127.0.0.1:8000`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    return `http://${this.#addressOf("http")}`;
  }

  /** Where it speaks gRPC, such as `grpc://127.0.0.1:8001`. @throws ServableError `not_ready` before `start` */
  get grpcUrl(): string {
    return `grpc://${this.#addressOf("grpc")}`;
  }

  /** Where its metrics are, such as `http://127.0.0.1:8002/metrics`. @throws ServableError `not_ready` before `start` */
  get metricsUrl(): string {
    return `http://${this.#addressOf("metrics")}/metrics`;
  }

  /** How it is. */
  get status(): TritonServerStatus {
    return {
      state: this.#state,
      server: this.#setting?.found.kind,
      pid: this.#running?.process.exit === undefined ? this.#running?.process.pid : undefined,
      restarts: this.#restarts,
      reason: this.#reason,
    };
  }

  /** Why it stays down; undefined as long as it does not. */
  get failure(): ServableError | undefined {
    return this.#failure;
  }

  /**
   * Starts the server; resolves when it is ready.
   *
   * @throws ServableError `load_failed` with the reason of each model that could not be loaded, or when it was not ready in time;
   * what a download throws; `address_in_use`; `invalid_config` for a replication that doesn't fit; `missing_dependency` where there is no server; `cancelled` where `stop` came first
   */
  async start(): Promise<void> {
    if (this.#isStopping()) throw stoppedEarly();
    if (this.#starting !== undefined) throw new ServableError("invalid_argument", "A runtime is started once.");
    this.#starting = this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    this.#state = "starting";
    try {
      const log = await loggerOf(this.#options.log);
      const found = findServer(this.#resolved);
      if (found.kind === "servable") this.#warnOfFallback(log);
      const repository = await this.#prepareRepository(log);
      const running = await this.#launchFirst({ log: log.child({ server: found.kind }), found, repository });
      this.#state = "ready";
      this.#supervision = this.#supervise(running);
    } catch (thrown) {
      await this.#running?.process.kill();
      await this.#cleanUp();
      this.#state = this.#isStopping() ? "stopped" : "failed";
      const failure = this.#isStopping() ? stoppedEarly() : asFailure(thrown);
      this.#failure = failure;
      this.#markStopped();
      throw failure;
    }
  }

  /** What is other than was asked for is said. */
  #warnOfFallback(log: EngineLogger): void {
    log.warn({ binary: this.#resolved.binary }, "there is no tritonserver: servable's own model server serves in its place");
  }

  /** @returns the folder of the repository: the user's own as long as nothing is to be written into it, else a copy */
  async #prepareRepository(log: EngineLogger): Promise<string> {
    const { replication } = this.#resolved;
    const { folder, isUsers } = await findRepository(this.#resolved, log, this.#stop.signal);
    if (isUsers && Object.keys(replication).length === 0) return folder;
    this.#ownFolder = await mkdtemp(path.join(tmpdir(), "servable-triton-"));
    const repository = path.join(this.#ownFolder, "models");
    await makeOwnRepository(folder, repository, replication);
    return repository;
  }

  async #launchFirst(parts: Omit<Setting, "ports">): Promise<Running> {
    const { host, ports: wanted } = this.#resolved;
    const mayChoose = Object.values(wanted).includes(0);
    for (let attempt = 1; ; attempt++) {
      const setting = { ...parts, ports: await choosePorts(host, wanted) };
      try {
        const running = await this.#launch(setting);
        this.#setting = setting;
        return running;
      } catch (thrown) {
        const isTaken = ServableError.isInstance(thrown) && thrown.code === "address_in_use";
        if (!isTaken || !mayChoose || attempt >= portTries) throw thrown;
      }
    }
  }

  #launch(setting: Setting): Promise<Running> {
    return launchServer(setting, this.#resolved, {
      signal: this.#stop.signal,
      ownFolder: this.#ownFolder,
      onStarted: (running) => {
        this.#running = running;
      },
    });
  }

  /** Sees to it that the server lives, until it is stopped or dies again and again. */
  async #supervise(first: Running): Promise<void> {
    let running: Running | undefined = first;
    while (running !== undefined) {
      const readyAt = performance.now();
      const exit: ServerExit = await running.process.exited;
      if (this.#isStopping()) return;
      running = await this.#restart(running.output.death(exit), performance.now() - readyAt >= soundMs);
    }
  }

  /** @returns undefined where it is not to run any more */
  async #restart(death: string, wasSound: boolean): Promise<Running | undefined> {
    const setting = this.#setting;
    if (setting === undefined) return undefined;
    const { log, found } = setting;
    let [reason, sound] = [death, wasSound];
    for (;;) {
      this.#reason = reason;
      const decision = this.#policy.decide(sound, performance.now());
      if (!decision.restart) return this.#giveUp(log, found, reason);
      log.error({ reason, restartInMs: decision.delayMs }, `${found.kind} died; it is started anew`);
      this.#state = "restarting";
      await sleep(decision.delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (this.#isStopping()) return undefined;
      this.#restarts += 1;
      try {
        const running = await this.#launch(setting);
        this.#state = "ready";
        return running;
      } catch (thrown) {
        if (this.#isStopping()) return undefined;
        [reason, sound] = [messageOf(thrown), false];
      }
    }
  }

  async #giveUp(log: EngineLogger, found: FoundServer, reason: string): Promise<undefined> {
    this.#failure = new ServableError("worker_crashed", `${found.kind} died again and again and stays down. Its last death: ${reason}`);
    log.error({ reason }, `${found.kind} died again and again; it stays down`);
    await this.#cleanUp();
    this.#state = "failed";
    this.#markStopped();
    return undefined;
  }

  /** Asks the server to end: it finishes what is in flight, and is killed where that takes longer than `graceMs`. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    this.#stop.abort();
    // A start in the middle, or a restart, ends what it has begun.
    await this.#starting?.catch(() => undefined);
    const { graceMs } = this.#resolved;
    const wasKilled = await this.#running?.process.end(graceMs);
    if (wasKilled === true) {
      const { log, found } = this.#setting ?? {};
      this.#reason = `It did not end within ${graceMs} ms of SIGTERM, and was killed.`;
      log?.error({ graceMs }, `${found?.kind ?? "the server"} did not end within ${graceMs} ms of SIGTERM, and was killed`);
    }
    await this.#supervision;
    await this.#cleanUp();
    if (this.#state !== "failed") this.#state = "stopped";
    this.#markStopped();
  }

  async #cleanUp(): Promise<void> {
    const folder = this.#ownFolder;
    this.#ownFolder = undefined;
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }

  /** `stop` may come between any two steps. */
  #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  #addressOf(port: keyof ChosenPorts): string {
    if (this.#setting === undefined) throw new ServableError("not_ready", "The server is not ready yet: await start() first.");
    return authority(this.#resolved.host, this.#setting.ports[port]);
  }
}

function asFailure(thrown: unknown): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  return new ServableError("load_failed", `The server could not be started: ${messageOf(thrown)}`, { cause: thrown });
}
