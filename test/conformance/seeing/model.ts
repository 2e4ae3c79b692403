/** Says how many executions were seen at once, of all models that share a folder; waits for as many as wanted, for a while. */
import { randomUUID } from "node:crypto";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { defineModel } from "servable/server";

export const model = defineModel({
  inputs: { x: { dataType: "INT32", dims: [1] } },
  outputs: { seen: { dataType: "INT32", dims: [1] } },
  setup: ({ parameters }) => ({ folder: parameters.folder ?? "", wanted: Number(parameters.wanted) }),
  run: async (_inputs, { state: { folder, wanted } }) => {
    const mine = path.join(folder, randomUUID());
    writeFileSync(mine, "");
    let seen = 0;
    const end = performance.now() + 500;
    while (seen < wanted && performance.now() < end) {
      seen = Math.max(seen, readdirSync(folder).length);
      await pause(5);
    }
    rmSync(mine);
    return { seen: { dataType: "INT32", shape: [1], data: Int32Array.of(seen) } };
  },
});
