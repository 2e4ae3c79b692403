/**
 * What the death of a worker process under load costs, and for how long. A service runs in two processes; eight clients send one request after
 * the other, each when its last one is answered. One of the two processes, known by what it answers, is killed with SIGKILL. Told are
 *
 * - how long it takes from the kill to the first answer that a process gives which was not there before,
 * - how long until the rate is back: to the end of the first 200 ms after that answer in which at least 9 of 10 of the answers came that
 *   came before the kill in that time,
 * - how many requests failed, and whether any failed otherwise than those that were in the process (`worker_crashed`),
 * - the longest time after the kill in which nobody was answered.
 *
 * The clients and both processes share the machine's cores, so the new process starts while the others compute.
 */
import { Agent } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { treeOf } from "../support/process-tree.ts";
import type { RunningServer } from "../support/servers.ts";
import { post, type Reply } from "./post.ts";

/** What one kill did. */
export interface Recovery {
  /** Answers a second before. */
  readonly rate: number;
  readonly firstAnswerMs: number;
  readonly rateBackMs: number;
  readonly failed: number;
  /** Failures that are no `worker_crashed`. */
  readonly failedOtherwise: number;
  readonly longestGapMs: number;
}

const clients = 8;
const windowMs = 200;
const baselineMs = 2_000;
/** What has not recovered by then never will. */
const longestMs = 20_000;

/** Kills a worker some times in a row, each time when all is well again. */
export async function recoveries({ url, pid }: RunningServer, kills: number): Promise<readonly Recovery[]> {
  const agent = new Agent({ keepAlive: true });
  const replies: Reply[] = [];
  let isOver = false;
  const client = async (): Promise<void> => {
    while (!isOver) replies.push(await post(`${url}/work`, agent));
  };
  const load = Promise.all(Array.from({ length: clients }, client));
  const results: Recovery[] = [];
  try {
    for (let kill = 0; kill < kills; kill++) results.push(await killOne(pid, replies));
  } finally {
    isOver = true;
    await load;
    agent.destroy();
  }
  return results;
}

async function killOne(server: number, replies: Reply[]): Promise<Recovery> {
  replies.length = 0;
  await pause(baselineMs);
  const before = new Set(replies.map(({ body }) => body.pid as number));
  const rate = (answers(replies).length / baselineMs) * 1_000;
  const [victim] = treeOf(server).filter((member) => before.has(member));
  if (victim === undefined) throw new Error("No answer tells a process that runs.");
  replies.length = 0;
  const killedAt = performance.now();
  process.kill(victim, "SIGKILL");

  const first = (): Reply | undefined => answers(replies).find(({ body }) => !before.has(body.pid as number));
  await until(() => first() !== undefined, killedAt);
  const firstAt = first()?.at ?? Number.NaN;
  let backAt: number | undefined;
  await until(() => (backAt = rateBack(answers(replies), firstAt, rate)) !== undefined, killedAt);
  const failures = replies.filter(({ status }) => status !== 200);
  return {
    rate,
    firstAnswerMs: firstAt - killedAt,
    rateBackMs: (backAt ?? Number.NaN) - killedAt,
    failed: failures.length,
    failedOtherwise: failures.filter(({ body }) => body.code !== "worker_crashed").length,
    longestGapMs: longestGap(answers(replies), killedAt),
  };
}

function answers(replies: readonly Reply[]): readonly Reply[] {
  return replies.filter(({ status }) => status === 200);
}

function rateBack(good: readonly Reply[], from: number, rate: number): number | undefined {
  const enough = 0.9 * rate * (windowMs / 1_000);
  const times = good.map(({ at }) => at).filter((at) => at >= from);
  for (const [index, at] of times.entries()) {
    const inWindow = times.slice(0, index + 1).filter((other) => other > at - windowMs).length;
    if (inWindow >= enough) return at;
  }
  return undefined;
}

function longestGap(good: readonly Reply[], from: number): number {
  let longest = 0;
  let last = from;
  for (const { at } of good) {
    longest = Math.max(longest, at - last);
    last = at;
  }
  return longest;
}

async function until(condition: () => boolean, since: number): Promise<void> {
  while (!condition()) {
    if (performance.now() - since > longestMs) throw new Error(`It did not recover within ${longestMs} ms.`);
    await pause(10);
  }
}
