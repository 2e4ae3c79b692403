/** What a process and its children take of the machine, as Linux tells it; elsewhere nothing is known. */
import { readdirSync, readFileSync } from "node:fs";

/** What a tree of processes takes. */
export interface TreeUsage {
  /** Processor time since their start, of the processes that are there. */
  readonly processorMs: number;
  /** Memory in use (RSS). What processes of the tree share counts once, as well as can be told: at the largest share of one of them. */
  readonly memoryMiB: number;
  /** The most that each process ever used (VmHWM), added up, less what counts once. */
  readonly peakMiB: number;
}

// USER_HZ, which is 100 on every Linux that Node runs on.
const msPerTick = 10;

/** The process and all that descend from it. */
export function treeOf(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const pid of processes()) {
    const parent = Number(statOf(pid)[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree: number[] = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Processor time alone, which is cheap to ask for. */
export function processorMsOf(root: number): number {
  return sum(treeOf(root).map(ownProcessorMs));
}

/** All of it. The kernel walks a process's pages for this, so that it is not to be asked often. */
export function usageOf(root: number): TreeUsage {
  const tree = treeOf(root);
  const own = tree.map((pid) => read(`/proc/${pid}/smaps_rollup`));
  // Not PSS, which would make a server smaller when something else on the machine uses the same libraries, as the bench itself does.
  const shared = own.map((text) => kibIn(text, "Shared_Clean") + kibIn(text, "Shared_Dirty"));
  const twice = sum(shared) - Math.max(...shared);
  return {
    processorMs: sum(tree.map(ownProcessorMs)),
    memoryMiB: (sum(own.map((text) => kibIn(text, "Rss"))) - twice) / 1024,
    peakMiB: (sum(tree.map((pid) => kibIn(read(`/proc/${pid}/status`), "VmHWM"))) - twice) / 1024,
  };
}

function processes(): readonly number[] {
  try {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

/** The fields of `/proc/PID/stat` from the third on, the state; the second is a name that may hold anything. */
function statOf(pid: number): readonly string[] {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function ownProcessorMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * msPerTick;
}

function kibIn(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It has ended in the meantime.
    return "";
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
