/**
 * Sends broken input of every sort to a model server, over HTTP and gRPC, and sees that each is answered as the contract says, that good
 * requests in between are answered right, and that the server is the same in the end: alive, no larger, nothing left behind.
 *
 * usage: npm run test:fuzz -- [--cases 100000] [--seed N] [--only CASE] [--kinds streams,paths] [--lanes 16]
 */
import { Agent } from "node:http";
import { parseArgs } from "node:util";
import { pickCase } from "./cases.ts";
import { GrpcLink } from "./grpc-link.ts";
import { checkHealth } from "./health.ts";
import { Random } from "./random.ts";
import { FuzzServer } from "./server.ts";
import type { Target } from "./target.ts";

const checkEvery = 300;
const mostGrowthMiB = 200;
const mostShown = 25;
const mostFailed = 200;

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: process.env.FUZZ_CASES ?? "100000" },
    seed: { type: "string" },
    only: { type: "string" },
    kinds: { type: "string" },
    lanes: { type: "string", default: "16" },
  },
});
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const only = values.only === undefined ? undefined : Number(values.only);
const cases = only === undefined ? Number(values.cases) : only + 1;
const lanes = Number(values.lanes);
const kinds = values.kinds?.split(",");
/** Until then the server takes what it needs once. */
const warmUp = Math.min(10_000, Math.floor(cases / 4));

const failures: { readonly number: number; readonly kind: string; readonly text: string }[] = [];
const counts = new Map<string, { count: number; ms: number }>();
let passed = 0;
let baselineMiB: number | undefined;

async function runCase(number: number, target: Target): Promise<void> {
  const random = new Random(seed, number);
  const [kind, run] = pickCase(random);
  if (kinds?.includes(kind) === false) return;
  const since = performance.now();
  try {
    await run(random, target);
    passed += 1;
  } catch (thrown) {
    tell(number, kind, thrown);
  }
  const counted = counts.get(kind) ?? { count: 0, ms: 0 };
  counts.set(kind, { count: counted.count + 1, ms: counted.ms + performance.now() - since });
}

function tell(number: number, kind: string, thrown: unknown): void {
  const text = thrown instanceof Error ? (thrown.name === "Error" ? thrown.message : (thrown.stack ?? thrown.message)) : String(thrown);
  failures.push({ number, kind, text });
  if (failures.length <= mostShown) console.log(`\ncase ${number} (${kind}) failed: ${text.slice(0, 4_000)}`);
}

async function runLane(next: () => number | undefined, target: Target): Promise<void> {
  for (let number = next(); number !== undefined; number = next()) {
    await runCase(number, target);
    if (only === undefined && number % checkEvery === checkEvery - 1) await check(`after case ${number}`, number, target);
    if (baselineMiB === undefined && number >= warmUp) baselineMiB = await target.server.residentMiB();
    if (number > 0 && number % 10_000 === 0) console.log(`${number} cases, ${Math.round(await target.server.residentMiB())} MiB`);
  }
}

async function check(when: string, number: number, target: Target): Promise<void> {
  try {
    await checkHealth(target);
  } catch (thrown) {
    tell(number, `the good requests ${when}`, thrown);
  }
}

/** What was let go of is given back after a while only. */
async function leastResidentMiB(server: FuzzServer): Promise<number> {
  let least = await server.residentMiB();
  for (let look = 0; look < 10; look++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    least = Math.min(least, await server.residentMiB());
  }
  return least;
}

async function main(): Promise<void> {
  console.log(`seed ${seed}${only === undefined ? `, ${cases} cases` : `, case ${only}`}`);
  const since = performance.now();
  const server = await FuzzServer.start();
  const { pid } = server.child;
  const grpc = new GrpcLink(server, 4);
  const agent = new Agent({ keepAlive: true, maxSockets: lanes * 2 });
  const freeNames = Array.from({ length: lanes }, (_, index) => `loaded_${index}`);
  const target: Target = { server, agent, grpc, freeNames };
  try {
    await checkHealth(target);
    console.log(`the server (process ${pid ?? 0}) is ready: ${Math.round(await server.residentMiB())} MiB`);
    let number = only ?? 0;
    const next = (): number | undefined => (number < cases && failures.length < mostFailed && !server.isDoomed ? number++ : undefined);
    await Promise.all(Array.from({ length: lanes }, () => runLane(next, target)));
    await check("at the end", cases, target);
    if (!server.hasExited) {
      const residentMiB = await leastResidentMiB(server);
      const growth = residentMiB - (baselineMiB ?? residentMiB);
      console.log(`memory: ${Math.round(baselineMiB ?? residentMiB)} MiB after ${warmUp} cases, ${Math.round(residentMiB)} MiB at the end`);
      if (only === undefined && growth > mostGrowthMiB)
        tell(cases, "memory", new Error(`it grew by ${Math.round(growth)} MiB, more than ${mostGrowthMiB}`));
    }
  } finally {
    grpc.close();
    agent.destroy();
    for (const wrong of await server.stop()) tell(cases, "the end", new Error(wrong));
  }
  const slowest = [...counts].sort(([, one], [, other]) => other.ms - one.ms);
  for (const [kind, { count, ms }] of slowest)
    console.log(`${kind.padEnd(16)} ${String(count).padStart(6)} cases, ${(ms / count).toFixed(1)} ms each`);
  if (failures.length > 0) console.log(`\nfailed: ${failures.map(({ number, kind }) => `${number} (${kind})`).join(", ")}`);
  if (failures.length > 0) console.log(`again: npm run test:fuzz -- --seed ${seed} --only CASE`);
  console.log(`${Math.round((performance.now() - since) / 1_000)} s, seed ${seed}`);
  console.log(`${passed} passed, ${failures.length} failed`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

await main();
