import { execFile } from "node:child_process";
import { createWriteStream } from "node:fs";
import { rename, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { sized } from "../support/sizes.ts";
import { withFolder, withServer } from "./support.ts";

const run = promisify(execFile);
const script = fileURLToPath(new URL("large-child.mjs", import.meta.url));

/** In MiB. */
const size = sized(48, 200);
/** Less than the artifact has, which is in two more files, too, and goes over the wire twice. */
const mostGrowthMiB = sized(44, 120);

interface Measured {
  readonly uri: string;
  readonly growthMiB: number;
  readonly bytes: number;
  readonly same: boolean;
}

async function measure(storage: string, folder: string): Promise<Measured> {
  const { stdout } = await run(process.execPath, ["--max-old-space-size=48", script, storage, folder, String(size)], { timeout: 110_000 });
  return JSON.parse(stdout) as Measured;
}

test(`${size} MiB through a folder, in constant memory`, async () => {
  await withFolder(async (folder) => {
    const { growthMiB, bytes, same } = await measure(path.join(folder, "storage"), folder);
    expect([bytes > size * 1024 ** 2, same]).toEqual([true, true]);
    expect(growthMiB).toBeLessThan(mostGrowthMiB);
  });
}, 120_000);

test(`${size} MiB over HTTP, in constant memory`, async () => {
  await withFolder(async (folder) => {
    const place = path.join(folder, "kept");
    await withServer(
      (request, response) => {
        if (request.method === "PUT") {
          void pipeline(request, createWriteStream(`${place}.partial`))
            .then(() => rename(`${place}.partial`, place))
            .then(() => response.writeHead(201).end());
          return;
        }
        void stat(place).then(({ size }) => {
          response.writeHead(200, { "content-length": size });
          return pipeline(createReadStream(place), response);
        });
      },
      async (url) => {
        const { growthMiB, bytes, same } = await measure(url, folder);
        expect([bytes > size * 1024 ** 2, same]).toEqual([true, true]);
        expect(growthMiB).toBeLessThan(mostGrowthMiB);
      },
    );
  });
}, 120_000);
