/** From measurements to what is printed: medians over the rounds, and medians of the ratios within a round. */
import type { Contender } from "./contenders.ts";
import { median, type Sample } from "../support/servers.ts";

/** One server in one round. */
export interface Measurement extends Sample {
  readonly round: number;
  readonly processorUs: number;
  readonly memoryMiB: number;
  readonly peakMiB: number;
}

/** All rounds of one model. */
export interface ModelResult {
  readonly measured: ReadonlyMap<Contender, readonly Measurement[]>;
  /** Rows a second of a bare `session.run` loop, by round, from the first on. */
  readonly loop: readonly number[];
}

/** The table of one model, as Markdown. */
export function tableOf({ measured, loop }: ModelResult): string {
  const all = [...measured].filter(([, list]) => list.length > 0);
  const find = (test: (contender: Contender) => boolean): readonly Measurement[] | undefined => all.find(([one]) => test(one))?.[1];
  const hand = find(({ kind }) => kind === "reference");
  const triton = find(({ kind }) => kind === "triton");
  const python = all
    .filter(([{ kind }]) => kind === "python")
    .map(([, list]) => list)
    .sort((a, b) => rateOf(b) - rateOf(a))[0];
  const loopRate = (round: number): number => loop[round - 1] ?? Number.NaN;
  const rows = all.map(([{ name, kind }, list]) => [
    name,
    rateOf(list).toFixed(0),
    ratio(list, hand),
    ratio(list, triton),
    ratio(list, python),
    kind === "limit" ? "–" : median(list.map(({ round, requestsPerSecond }) => requestsPerSecond / loopRate(round))).toFixed(2),
    median(list.map(({ p50Ms }) => p50Ms)).toFixed(2),
    median(list.map(({ p99Ms }) => p99Ms)).toFixed(2),
    median(list.map(({ processorUs }) => processorUs)).toFixed(0),
    median(list.map(({ memoryMiB }) => memoryMiB)).toFixed(0),
    memoryRatio(list, hand),
    median(list.map(({ peakMiB }) => peakMiB)).toFixed(0),
  ]);
  const limit = ["bare session.run, 16 rows (rows/s)", median(loop).toFixed(0), ...Array.from({ length: 10 }, () => "–")];
  const head = [
    ...["server", "requests/s", "of by hand", "of Triton", "of the best Python peer", "of bare session.run", "p50 ms", "p99 ms"],
    ...["processor µs/request", "memory MiB", "memory of by hand", "peak MiB"],
  ];
  return [head, head.map(() => "---"), limit, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function rateOf(list: readonly Measurement[]): number {
  return median(list.map(({ requestsPerSecond }) => requestsPerSecond));
}

function ratio(list: readonly Measurement[], reference: readonly Measurement[] | undefined): string {
  return withinRounds(list, reference, ({ requestsPerSecond }) => requestsPerSecond);
}

function memoryRatio(list: readonly Measurement[], reference: readonly Measurement[] | undefined): string {
  return withinRounds(list, reference, ({ memoryMiB }) => memoryMiB);
}

/** A machine that is slower for a while is so for all servers of a round, more or less. */
function withinRounds(
  list: readonly Measurement[],
  reference: readonly Measurement[] | undefined,
  value: (measurement: Measurement) => number,
): string {
  const ratios = list.flatMap((one) => {
    const other = reference?.find(({ round }) => round === one.round);
    return other === undefined ? [] : [value(one) / value(other)];
  });
  return ratios.length === 0 ? "–" : median(ratios).toFixed(2);
}
