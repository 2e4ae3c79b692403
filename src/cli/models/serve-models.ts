import type { EngineLogger } from "../../engine/observer.ts";
import { ModelRepositoryServer } from "../../server/model-repository-server.ts";
import { createLogger } from "../../telemetry/logs.ts";
import { Lifecycle } from "../lifecycle.ts";
import { createFronts, type ModelFront } from "./fronts.ts";
import type { ModelsPlan } from "./plan.ts";
import { boundYoungMemory } from "./young-memory.ts";
import { requireRepository } from "./require-repository.ts";

/** Answers that are written get this time at least to be sent. */
const flushMs = 1_000;

/** Serves models until something ends the process. Resolves when all ports listen. @throws ServableError what stands in the way of a start */
export async function serveModels(plan: ModelsPlan): Promise<void> {
  // Which lines are written is a setting that clients may change while it runs; the server keeps to it.
  const log = await createLogger({ level: "debug", format: plan.logFormat, file: plan.logFile });
  for (const path of plan.repository.repositories) await requireRepository(path);
  const server = new ModelRepositoryServer({ ...plan.repository, log });
  server.logSettings(plan.logSettings);
  const fronts = await createFronts(plan, server, log);
  boundYoungMemory(() => isNativeOnly(server));
  const lifecycle = new Lifecycle(log, plan.graceMs);
  lifecycle.followNpm();
  lifecycle.manage({ running: () => server.running(), stop: () => stop(plan.graceMs, server, fronts) });
  if (plan.withoutEffect.length > 0) log.info({ flags: plan.withoutEffect }, "these flags have no effect here");
  try {
    await server.start();
    // Ports open when everything is loaded: a refused connection means that it is still loading.
    for (const front of fronts) {
      await lifecycle.ending;
      tellStarted(front, await front.start(), log);
    }
    await lifecycle.ending;
  } catch (thrown) {
    // Whatever a stop in the middle of a start breaks off is no failure.
    await lifecycle.ending;
    await stop(0, server, fronts);
    throw thrown;
  }
}

function isNativeOnly(server: ModelRepositoryServer): boolean {
  return server.reports().every(({ name, version }) => server.model(name, version).config.backend !== "typescript");
}

/** As tritonserver has it; supervisors and scripts wait for these lines. */
function tellStarted({ startLine }: ModelFront, url: string, log: EngineLogger): void {
  log.info({ url }, `${startLine} ${url.replace(/^[a-z]+:\/\//, "")}`);
}

async function stop(graceMs: number, server: ModelRepositoryServer, fronts: readonly ModelFront[]): Promise<undefined> {
  const until = performance.now() + graceMs;
  const leftMs = (): number => Math.max(0, until - performance.now());
  server.beginStop();
  // What clients take for accepted is answered by models that still run, also where its end is yet to come.
  await Promise.all(fronts.map((front) => front.drain(graceMs)));
  await server.stop(leftMs());
  await Promise.all(fronts.map((front) => front.stop(Math.max(flushMs, leftMs()))));
}
