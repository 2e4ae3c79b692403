import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ServableError } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { HttpRuntime } from "../runtime/http/http-runtime.ts";
import { resolveHttpOptions, type HttpRuntimeOptions } from "../runtime/http/options.ts";
import type { ServicePolicy } from "../service/definition.ts";
import type { ServiceLoader } from "../service/loader.ts";
import { createLogger, type LogOptions } from "../telemetry/logs.ts";
import { Lifecycle, runningServices } from "./lifecycle.ts";
import { writeError } from "./print.ts";
import { readyText, type ServedService } from "./ready-text.ts";
import { obeySupervisor } from "./watch.ts";

/** A service that was found, and how it is to run. */
export interface FoundService {
  readonly loader: ServiceLoader;
  readonly policy: ServicePolicy;
}

/** Everything that `serve` and `run` come down to. */
export interface ServePlan {
  /** Loads the modules. */
  readonly find: (log: EngineLogger) => Promise<readonly FoundService[]>;
  readonly http: Omit<HttpRuntimeOptions, "services" | "log">;
  readonly log: LogOptions;
}

const progressMs = 5_000;

/**
 * Serves until something ends the process. Resolves when everything is ready.
 *
 * @throws ServableError what stands in the way of a start
 */
export async function serveServices(plan: ServePlan): Promise<void> {
  // Before anything is loaded, which may take long: an address that will be refused.
  const { graceMs } = resolveHttpOptions({ ...plan.http, services: [] });
  const log = await createLogger(plan.log);
  const lifecycle = new Lifecycle(log, graceMs);
  const isSupervised = obeySupervisor(() => void lifecycle.end(0));
  if (!isSupervised) lifecycle.followNpm();
  try {
    const found = await plan.find(log);
    await refuseSameNames(found);
    const services = found.map(({ loader, policy }) => ({ service: loader, policy }));
    const runtime = new HttpRuntime({ ...plan.http, services, log });
    lifecycle.manage({
      running: () => runningServices(runtime.status),
      stop: () => runtime.stop().then(() => undefined),
    });
    if (lifecycle.ending === undefined) await start(runtime, log);
    await lifecycle.ending;
    await tellReady(runtime, found, plan, log);
  } catch (thrown) {
    // Whatever a stop in the middle of a start breaks off is no failure.
    await lifecycle.ending;
    throw thrown;
  }
}

async function start(runtime: HttpRuntime, log: EngineLogger): Promise<void> {
  const begin = performance.now();
  const timer = setInterval(() => {
    log.info({ seconds: Math.round((performance.now() - begin) / 1_000) }, `still starting: ${waitingFor(runtime)}`);
  }, progressMs);
  try {
    await runtime.start();
  } finally {
    clearInterval(timer);
  }
}

function waitingFor(runtime: HttpRuntime): string {
  const services = Object.entries(runtime.status?.services ?? {});
  const missing = services
    .filter(([, { ready, total }]) => ready < total)
    .map(([name, { ready, total }]) => `${name} (${ready} of ${total})`);
  return missing.join(", ");
}

/** The engine would say so, too, but does not know which modules they came from. */
async function refuseSameNames(found: readonly FoundService[]): Promise<void> {
  const seen = new Map<string, string>();
  for (const { loader } of found) {
    const { name } = await loader.definition();
    const module = displayModule(loader);
    const other = seen.get(name);
    if (other !== undefined) {
      const where = other === module ? `${module} twice` : `${other} and ${module}`;
      throw new ServableError("invalid_config", `Two services are named '${name}' (${where}); names must differ, since each is a route.`);
    }
    seen.set(name, module);
  }
}

async function tellReady(runtime: HttpRuntime, found: readonly FoundService[], plan: ServePlan, log: EngineLogger): Promise<void> {
  const services: ServedService[] = [];
  const withoutWorkers: string[] = [];
  for (const { loader, policy } of found) {
    const definition = await loader.definition();
    const status = runtime.status?.services[definition.name];
    if (status === undefined) continue;
    services.push({ definition, placement: status.placement, workers: status.total });
    if (status.placement === "inline" && policy.workers !== undefined) withoutWorkers.push(definition.name);
  }
  // Not in the log, whose level may hide it: whoever asked for workers is to know that there are none.
  if (withoutWorkers.length > 0) {
    const names = withoutWorkers.join(", ");
    await writeError(
      `servable: workers has no effect on a service that runs inline (${names}); ask for placement thread or process, too.\n`,
    );
  }
  const { url } = runtime;
  const isPretty = (plan.log.format ?? (process.stdout.isTTY ? "pretty" : "json")) === "pretty";
  if (isPretty && plan.log.level !== "silent") {
    process.stdout.write(readyText({ url, services, hasPage: plan.http.page !== false, needsToken: plan.http.auth !== undefined }));
  } else {
    const shown = services.map(({ definition, placement, workers }) => ({ name: definition.name, placement, workers }));
    log.info({ url, services: shown }, "ready");
  }
}

function displayModule(loader: ServiceLoader): string {
  const path = relative(process.cwd(), fileURLToPath(loader.spec.module));
  return path.startsWith("..") ? fileURLToPath(loader.spec.module) : `./${path}`;
}
