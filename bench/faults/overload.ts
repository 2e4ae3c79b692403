/** Ten times as many requests as a service can compute: what is still answered, and how fast the rest is refused. */
import { Agent } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { usageOf } from "../support/process-tree.ts";
import type { RunningServer } from "../support/servers.ts";
import { post, type Reply } from "./post.ts";

/** What an overload did. */
export interface OverloadResult {
  /** Answers a second with four clients that wait for each of theirs. */
  readonly capacity: number;
  /** Requests sent a second. */
  readonly sent: number;
  /** Answers a second within the deadline, as a share of the capacity. */
  readonly goodput: number;
  readonly refused: number;
  readonly refusalP50Ms: number;
  readonly refusalP99Ms: number;
  readonly answerP99Ms: number;
  /** Requests that were computed and whose answer nobody got in time, as a share of all that were computed. */
  readonly wasted: number;
  readonly memoryBeforeMiB: number;
  readonly memoryAfterMiB: number;
  /** Answers by their status. */
  readonly statuses: Readonly<Record<string, number>>;
}

const warmUps = 50;
const clients = 4;
const factor = 10;
/** Requests leave in groups, as timers are not fine enough to send them one by one. */
const groupMs = 5;

/** Measures the capacity, then sends ten times as much, whether or not answers come: people do not wait for one another. */
export async function overload({ url, pid }: RunningServer, seconds: number): Promise<OverloadResult> {
  const agent = new Agent({ keepAlive: true });
  const send = (): Promise<Reply> => post(`${url}/compute`, agent);
  for (let index = 0; index < warmUps; index++) await send();
  const alone = await closedLoop(send, seconds);
  const capacity = alone.length / seconds;
  const memoryBeforeMiB = usageOf(pid).memoryMiB;
  const before = computedOf(alone);

  const waiting: Promise<Reply>[] = [];
  const start = performance.now();
  const rate = (capacity * factor) / 1_000;
  for (let elapsed = 0; elapsed < seconds * 1_000; elapsed = performance.now() - start) {
    while (waiting.length < rate * elapsed) waiting.push(send());
    await pause(groupMs);
  }
  const replies = await Promise.all(waiting);
  const last = await send();
  agent.destroy();

  const good = replies.filter(({ status }) => status === 200);
  const refused = replies.filter(({ status }) => status === 503);
  const computed = computedOf([last]) - 1 - before;
  const statuses: Record<string, number> = {};
  for (const { status } of replies) statuses[status] = (statuses[status] ?? 0) + 1;
  return {
    capacity,
    sent: replies.length / seconds,
    goodput: good.length / seconds / capacity,
    refused: refused.length,
    refusalP50Ms: percentile(refused, 0.5),
    refusalP99Ms: percentile(refused, 0.99),
    answerP99Ms: percentile(good, 0.99),
    wasted: (computed - good.length) / computed,
    memoryBeforeMiB,
    memoryAfterMiB: usageOf(pid).memoryMiB,
    statuses,
  };
}

async function closedLoop(send: () => Promise<Reply>, seconds: number): Promise<readonly Reply[]> {
  const replies: Reply[] = [];
  const end = performance.now() + seconds * 1_000;
  const client = async (): Promise<void> => {
    while (performance.now() < end) replies.push(await send());
  };
  await Promise.all(Array.from({ length: clients }, client));
  // On a busy machine one call may take so long that those behind it are refused.
  return replies.filter(({ status }) => status === 200);
}

/** How many had been computed, by what the answers say. */
function computedOf(replies: readonly Reply[]): number {
  return replies.reduce((most, { body }) => Math.max(most, (body.computed as number | undefined) ?? 0), 0);
}

function percentile(replies: readonly Reply[], share: number): number {
  const sorted = replies.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
