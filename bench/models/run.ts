/**
 * Serves two models with servable, with a server written by hand, and with what people would pick instead, side by side: each server is
 * started, checked against bare onnxruntime, warmed, measured and stopped in turn, for several rounds. docs/performance.md says how to
 * read what it prints.
 *
 * usage: npm run bench:models -- [--rounds 5] [--seconds 5] [--connections 32] [--models mlp,heavy] [--parts load,alone,loop]
 *        [--only node,hand,servable,quiet,triton,mosec,fastapi,mlserver,litserve,bentoml]
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { compile } from "../support/compile.ts";
import { createLoad, type Load } from "../support/load.ts";
import { processorMsOf, usageOf } from "../support/process-tree.ts";
import { freePort, median, pinned, startServer, type RunningServer, type Sample } from "../support/servers.ts";
import { checkAnswers, expectedOf, isReady, type Expected } from "./answers.ts";
import { contenders, sources, type Contender } from "./contenders.ts";
import { modelFile, type ModelName } from "./make-models.ts";
import { tableOf, type Measurement } from "./table.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    connections: { type: "string", default: "32" },
    models: { type: "string", default: "mlp,heavy" },
    only: { type: "string" },
    parts: { type: "string", default: "load,alone,loop" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
// Code that runs ten thousand times a second is compiled for good after some seconds; of fewer requests, later.
// V8 has compiled what a request goes through after some 100,000 of them.
const warmSeconds = Math.max(12, seconds);
const connections = Number(values.connections);
const parts = values.parts.split(",");
const models = values.models.split(",").filter((model): model is ModelName => model === "mlp" || model === "heavy");

const scratch = fileURLToPath(new URL("./.cache/", import.meta.url));
mkdirSync(path.join(scratch, "errors"), { recursive: true });
const compiled = compile(sources);
const all = contenders(compiled, scratch);
const only = values.only?.split(",");
const chosen = all.filter(({ id }) => only?.includes(id) ?? true);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const load = await createLoad();
say(`load: ${load.name}, ${connections} connections, ${rounds} rounds of ${seconds} s; server on core 0, load on core 1`);
const present = chosen.filter((contender) => {
  const reason = contender.missing();
  if (reason !== undefined) say(`left out: ${contender.name}, because ${reason}`);
  return reason === undefined;
});

const tables: string[] = [];
for (const model of models) {
  const file = modelFile(model);
  const expected = await expectedOf(file);
  if (parts.includes("load")) tables.push(`\n${model}\n\n${await measureAll(model, file, expected)}`);
  if (parts.includes("alone")) tables.push(await measureAlone(model, file, expected));
  if (parts.includes("loop") && model === "heavy") tables.push(await measureLoopDelay(file, expected));
}
say(tables.join("\n"));

/** Every server under full load. */
async function measureAll(model: ModelName, file: string, expected: Expected): Promise<string> {
  // The limit of HTTP says nothing where the model is what limits.
  const meant = present.filter(({ kind }) => kind !== "limit" || model === "mlp");
  const measured = new Map<Contender, Measurement[]>(meant.map((contender) => [contender, []]));
  const loop: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    loop.push(await sessionLoop(file));
    for (const [contender, list] of measured) {
      try {
        const one = await measure(contender, file, expected, round);
        list.push(one);
        say(`${model}, round ${round}, ${contender.name}: ${one.requestsPerSecond.toFixed(0)} requests/s`);
      } catch (error) {
        // A server that failed is not in the table, rather than in it with the rounds that it survived.
        measured.delete(contender);
        say(`${model}, round ${round}, ${contender.name} FAILED, and is left out: ${String(error)}`);
      }
    }
  }
  const result = tableOf({ measured, loop });
  const batchMs = 16_000 / median(loop);
  const tails = [...measured]
    .filter(([{ kind }]) => kind === "servable" || kind === "reference")
    .map(([{ name }, list]) => `${name} ${(median(list.map(({ p99Ms }) => p99Ms)) / batchMs).toFixed(1)}`);
  return `${result}\n\np99 in times of a batch of 16 rows (${batchMs.toFixed(2)} ms by bare session.run): ${tails.join(", ")}.`;
}

async function measure(contender: Contender, file: string, expected: Expected, round: number): Promise<Measurement> {
  await using server = await start(contender, file, expected, 0);
  if (contender.kind !== "limit") await checkAnswers(server.url, contender, expected, connections);
  const plan = planFor(server, contender, expected);
  await load.run({ ...plan, seconds: warmSeconds });
  const warm = usageOf(server.pid);
  const before = processorMsOf(server.pid);
  const sample = await load.run({ ...plan, seconds });
  const after = usageOf(server.pid);
  return {
    ...sample,
    round,
    processorUs: ((after.processorMs - before) * 1_000) / sample.requests,
    memoryMiB: Math.max(warm.memoryMiB, after.memoryMiB),
    peakMiB: after.peakMiB,
  };
}

/** One client: what is added to a run where there is nothing to batch. */
async function measureAlone(model: ModelName, file: string, expected: Expected): Promise<string> {
  const inline: Contender = {
    id: "inline",
    name: "session.run behind bare Fastify",
    kind: "reference",
    wire: { path: "/predict", encode: (row) => JSON.stringify({ x: row }), decode: () => [] },
    missing: () => undefined,
    start: (_model, port) => ({
      command: [process.execPath, fileURLToPath(compiled("models/servers/inline.ts")), String(port), file],
      environment: {},
    }),
  };
  const sides = [inline, ...all.filter(({ kind }) => kind === "reference" || kind === "servable")];
  const samples = new Map<Contender, Sample[]>(sides.map((side) => [side, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const [side, list] of samples) {
      await using server = await start(side, file, expected, 0);
      const plan = { ...planFor(server, side, expected), connections: 1 };
      await load.run({ ...plan, seconds: warmSeconds });
      list.push(await load.run({ ...plan, seconds }));
    }
  }
  const p50 = (side: Contender): readonly number[] => samples.get(side)?.map(({ p50Ms }) => p50Ms * 1_000) ?? [];
  const base = p50(inline);
  const lines = sides.map((side) => {
    const more = median(p50(side).map((value, index) => value - (base[index] ?? Number.NaN)));
    return `| ${side.name} | ${median(p50(side)).toFixed(0)} | ${more.toFixed(0)} |`;
  });
  return `\n${model}, one connection\n\n| server | p50 µs | more than session.run behind bare Fastify, µs |\n| --- | --- | --- |\n${lines.join("\n")}`;
}

/** How long the event loop of servable is held up while its model computes all the time, with both cores for whoever wants them. */
async function measureLoopDelay(file: string, expected: Expected): Promise<string> {
  const contender = all.find(({ kind }) => kind === "servable");
  if (contender === undefined) return "";
  const delays: { readonly p50: number; readonly p99: number }[] = [];
  for (let round = 1; round <= rounds; round++) {
    await using server = await start(contender, file, expected, undefined, { BENCH_LOOP_DELAY: "on" });
    const plan = { ...planFor(server, contender, expected), core: "any" } as const;
    const ask = async (): Promise<{ readonly p50: number; readonly p99: number }> =>
      (await (await fetch(`${server.url}/loop-delay`)).json()) as { readonly p50: number; readonly p99: number };
    await load.run({ ...plan, seconds: warmSeconds });
    await ask();
    await load.run({ ...plan, seconds });
    delays.push(await ask());
  }
  const p = (which: "p50" | "p99"): string => median(delays.map((delay) => delay[which])).toFixed(2);
  return `\nevent-loop delay of servable under full load of heavy, nothing pinned: p50 ${p("p50")} ms, p99 ${p("p99")} ms`;
}

function planFor({ url }: RunningServer, { wire }: Contender, { rows }: Expected): Omit<Parameters<Load["run"]>[0], "seconds"> {
  return { url: url + wire.path, body: rows.map((row) => wire.encode(row)), connections };
}

async function start(
  contender: Contender,
  file: string,
  expected: Expected,
  core: number | undefined,
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const port = await freePort();
  const plan = contender.start(file, port);
  return startServer({
    ...plan,
    environment: { ...plan.environment, ...environment },
    port,
    core,
    errorFile: path.join(scratch, "errors", `${contender.id}.txt`),
    ready: (url) => isReady(url, contender, expected),
  });
}

async function sessionLoop(file: string): Promise<number> {
  const script = fileURLToPath(compiled("models/servers/session-loop.ts"));
  const [command = "", ...args] = pinned(0, [process.execPath, script, String(seconds), file]);
  const { stdout } = await promisify(execFile)(command, args);
  return Number(stdout);
}
