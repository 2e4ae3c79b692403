import { setTimeout as sleep } from "node:timers/promises";
import { OpenInferenceClient } from "../../client/open-inference/open-inference-client.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { ServableError } from "../../errors.ts";
import type { FoundServer } from "./find-server.ts";
import { serverFlags } from "./flags.ts";
import type { ResolvedTritonOptions } from "./options.ts";
import type { ChosenPorts } from "./ports.ts";
import { ServerOutput } from "./server-output.ts";
import { ServerProcess } from "./server-process.ts";

/** A server that runs, with what it has said. */
export interface Running {
  readonly process: ServerProcess;
  readonly output: ServerOutput;
}

/** What a start has found and made, for the restarts. */
export interface Setting {
  readonly log: EngineLogger;
  readonly found: FoundServer;
  readonly repository: string;
  readonly ports: ChosenPorts;
}

/** What belongs to who launches. */
export interface Launch {
  /** Aborted when it is not wanted any more. */
  readonly signal: AbortSignal;
  /** Deleted when this process dies without a word. */
  readonly ownFolder: string | undefined;
  /** Told as soon as there is a process that has to be ended. */
  readonly onStarted: (running: Running) => void;
}

const pollMs = 100;
const pollTimeoutMs = 2_000;
/** What a server that is still loading gets to end by itself. */
const earlyGraceMs = 5_000;

/**
 * Starts a process and waits until it is ready. What is not is killed.
 *
 * @throws ServableError `load_failed`, `address_in_use`; `cancelled` where it is not wanted any more
 */
export async function launchServer(setting: Setting, options: ResolvedTritonOptions, launch: Launch): Promise<Running> {
  const { log, found, repository, ports } = setting;
  const { environment, startTimeoutMs, host, graceMs } = options;
  const { signal, ownFolder } = launch;
  if (signal.aborted) throw stoppedEarly();
  const output = new ServerOutput(log);
  const flags = serverFlags(options, found.kind, repository, ports);
  const server = new ServerProcess({ file: found.file, arguments: [...found.arguments, ...flags], environment, ownFolder }, output.read);
  const running: Running = { process: server, output };
  launch.onStarted(running);
  log.info({ pid: server.pid, ...ports, repository }, `starting ${found.kind}`);
  const client = new OpenInferenceClient(`http://${authority(host, ports.http)}`, { timeoutMs: pollTimeoutMs });
  const startedAt = performance.now();
  const until = startedAt + startTimeoutMs;
  while (!(await isReady(client, signal))) {
    if (isAborted(signal)) {
      // Nothing is in flight yet.
      await server.end(Math.min(graceMs, earlyGraceMs));
      throw stoppedEarly();
    }
    // One that has just ended tells why within moments.
    if (server.exit !== undefined) throw output.startFailure(found.kind, await server.exited);
    if (performance.now() >= until) {
      await server.kill();
      throw output.lateFailure(found.kind, startTimeoutMs);
    }
    await Promise.race([server.exited, sleep(pollMs)]);
  }
  if (server.exit !== undefined) throw output.startFailure(found.kind, await server.exited);
  output.markReady();
  log.info({ pid: server.pid, startMs: Math.round(performance.now() - startedAt) }, `${found.kind} is ready`);
  return running;
}

/** Whether a server answers that it is ready. Whatever else happens is no. */
async function isReady(client: OpenInferenceClient, signal: AbortSignal): Promise<boolean> {
  return client.ready({ signal }).catch(() => false);
}

/** It may come between any two steps, which a compiler that has seen it before does not believe. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** What stands between `//` and the path. An address that means all of a machine's is reached over the loopback. */
export function authority(host: string, port: number): string {
  const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `${reached.includes(":") ? `[${reached}]` : reached}:${port}`;
}

/** The failure of a start that `stop` has broken off. */
export function stoppedEarly(): ServableError {
  return new ServableError("cancelled", "The runtime was stopped before it was ready.");
}
