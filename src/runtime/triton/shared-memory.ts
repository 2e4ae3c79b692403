import { readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";

/** How the processes of Triton's Python backend are told the name of the memory that they share with the server. */
const regionName = /^triton_[\w.-]+_shm_region_[\w-]+$/;

/**
 * The shared memory of a group's processes. A server that is killed leaves it behind for good, and in a container there is little of it (64 MiB), so that a
 * few such deaths would keep every next start from loading.
 *
 * @returns names in /dev/shm; none where there is no /proc
 */
export function sharedMemoryOf(group: number): readonly string[] {
  const names: string[] = [];
  for (const pid of processes()) {
    try {
      // After the name, which may have blanks in it: state, parent, group.
      const [, , own] = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (Number(own) !== group) continue;
      names.push(
        ...readFileSync(`/proc/${pid}/cmdline`, "utf8")
          .split("\0")
          .filter((word) => regionName.test(word)),
      );
    } catch {
      // It has just ended.
    }
  }
  return names;
}

/** Gives shared memory back that nobody uses any more. */
export function freeSharedMemory(names: readonly string[]): void {
  for (const name of names) {
    try {
      rmSync(path.join("/dev/shm", name), { force: true });
    } catch {
      // It is another user's, or already gone.
    }
  }
}

function processes(): readonly string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
