import { spawnSync } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { withLock } from "../../src/storage/folder-lock.ts";
import { withFolder } from "./support.ts";

test("of many who find a lock whose owner is gone, one has it at a time", async () => {
  const { pid } = spawnSync(process.execPath, ["--version"]);
  await withFolder(async (folder) => {
    for (let round = 0; round < 12; round += 1) {
      const lock = path.join(folder, `.${round}.lock`);
      await writeFile(lock, `${pid}\n${hostname()}\n0\n`);
      let inside = 0;
      const work = async (): Promise<number> => {
        inside += 1;
        const together = inside;
        await pause(1);
        inside -= 1;
        return together;
      };
      expect(await Promise.all(Array.from({ length: 3 }, () => withLock(lock, undefined, work)))).toEqual([1, 1, 1]);
    }
    expect(await readdir(folder)).toEqual([]);
  });
}, 60_000);
