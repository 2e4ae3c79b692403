/** How far young memory grows, in processes of their own: it never gets smaller again. */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "./support.ts";

const module = path.join(root, "dist/cli/models/young-memory.js");
/** Makes what outlives a collection, second for second, and tells how large young memory became. */
const script = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { Worker } from "node:worker_threads";
  import { boundYoungMemory } from ${JSON.stringify(module)};
  const youngMiB = () => Math.round(getHeapSpaceStatistics().find((space) => space.space_name === "new_space").space_size / 1024 / 1024);
  boundYoungMemory(() => process.argv[1] === "native");
  let kept = [];
  let last = 0;
  process.on("exit", () => console.log(last));
  const grow = () => {
    for (let index = 0; index < 40_000; index += 1) kept.push({ index });
    if (kept.length > 400_000) kept = [];
  };
  const rounds = (left) => {
    grow();
    if (left > 0) setTimeout(rounds, 20, left - 1);
    else last = youngMiB();
  };
  setTimeout(rounds, 20, 50);
  // A thread that is started puts the factor back, until the next look, a second later.
  setTimeout(() => new Worker("setTimeout(() => {}, 100)", { eval: true }).on("exit", () => setTimeout(rounds, 1_500, 50)), 2_500);
`;

/** What V8 lets it have by itself: 64 MiB since Node 24. */
const usualMiB = Number(process.versions.node.split(".")[0]) < 24 ? 32 : 64;

test.concurrent.each([
  ["native", [], 16],
  ["typescript", [], usualMiB],
  ["native", ["--max-semi-space-size=16"], 32],
])(
  "of a server of %s models, with %j, is at most what it is to be",
  async (models, flags, mostMiB) => {
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, "--input-type=module", "-e", script, models]);
    expect(Number(stdout)).toBe(mostMiB);
  },
  30_000,
);
