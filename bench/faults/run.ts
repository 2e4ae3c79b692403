/**
 * What servable does when things go wrong, in numbers; that it does the right thing is what the tests assert.
 *
 * usage: npm run bench:faults -- [--rounds 3] [--seconds 5] [--kills 5]
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compile } from "../support/compile.ts";
import { freePort, median, startServer, type RunningServer } from "../support/servers.ts";
import { overload, type OverloadResult } from "./overload.ts";
import { recoveries, type Recovery } from "./recovery.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "5" },
    kills: { type: "string", default: "5" },
  },
});
const kills = Number(values.kills);
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const server = fileURLToPath(compile(["faults"])("faults/server.ts"));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

say(`10 × overload of a service that computes 5 ms, one at a time, with a deadline of 250 ms; ${rounds} rounds of ${seconds} s`);
const results: OverloadResult[] = [];
for (let round = 1; round <= rounds; round++) {
  await using running = await serve("./service.js");
  const result = await overload(running, seconds);
  results.push(result);
  say(`round ${round}: capacity ${result.capacity.toFixed(0)}/s, then answers by status ${JSON.stringify(result.statuses)}`);
}

const middle = (value: (result: OverloadResult) => number, digits: number): string => median(results.map(value)).toFixed(digits);
say("\n| what | median | aim |\n| --- | --- | --- |");
say(`| capacity, answers/s | ${middle(({ capacity }) => capacity, 0)} | |`);
say(`| sent, requests/s | ${middle(({ sent }) => sent, 0)} | |`);
say(`| answered in time, of the capacity | ${middle(({ goodput }) => goodput, 2)} | ≥ 0.9 |`);
say(`| refused after, p50 ms | ${middle(({ refusalP50Ms }) => refusalP50Ms, 1)} | |`);
say(`| refused after, p99 ms | ${middle(({ refusalP99Ms }) => refusalP99Ms, 1)} | < 20 |`);
say(`| answered after, p99 ms | ${middle(({ answerP99Ms }) => answerP99Ms, 0)} | ≤ 250 |`);
say(`| computed for nobody, of all computed | ${middle(({ wasted }) => wasted, 3)} | 0 |`);
say(`| memory before and after, MiB | ${middle((one) => one.memoryBeforeMiB, 0)}, ${middle((one) => one.memoryAfterMiB, 0)} | flat |`);

say(`\nSIGKILL of one of two worker processes under the load of eight clients; ${rounds} rounds of ${kills} kills each`);
const recovered: Recovery[] = [];
for (let round = 1; round <= rounds; round++) {
  await using running = await serve("./recovery-service.js");
  const results = await recoveries(running, kills);
  recovered.push(...results);
  say(`round ${round}: first answer after ${results.map(({ firstAnswerMs }) => firstAnswerMs.toFixed(0)).join(", ")} ms`);
}

const both = (value: (one: Recovery) => number): string => {
  const numbers = recovered.map(value);
  return `${median(numbers).toFixed(0)} | ${Math.max(...numbers).toFixed(0)}`;
};
say("\n| what | median | worst | aim |\n| --- | --- | --- | --- |");
say(`| answers/s before | ${both(({ rate }) => rate)} | |`);
say(`| first answer of the new process after, ms | ${both(({ firstAnswerMs }) => firstAnswerMs)} | < 1,000 |`);
say(`| the rate is back after, ms | ${both(({ rateBackMs }) => rateBackMs)} | |`);
say(`| nobody is answered for, ms | ${both(({ longestGapMs }) => longestGapMs)} | |`);
say(`| requests that failed with the process | ${both(({ failed }) => failed)} | |`);
say(`| requests that failed otherwise | ${both(({ failedOtherwise }) => failedOtherwise)} | 0 |`);

async function serve(module: string): Promise<RunningServer> {
  const port = await freePort();
  return startServer({ command: [process.execPath, server, String(port), module], port, environment: {}, core: undefined });
}
