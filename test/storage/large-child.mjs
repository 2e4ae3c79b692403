/**
 * Publishes a model of many megabytes, downloads it again, and prints by how much memory grew.
 *
 * usage: node large-child.mjs STORAGE FOLDER MEBIBYTES
 */
import { createHash, randomFillSync } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import path from "node:path";
import { downloadArtifact, makeTritonConfiguration, TritonModelConfig, TritonTensor } from "servable/triton";

const [storage, folder, mebibytes] = process.argv.slice(2);
const file = path.join(folder, "model.bin");
const handle = await open(file, "w");
const part = Buffer.alloc(1024 * 1024);
for (let count = 0; count < Number(mebibytes); count += 1) await handle.write(randomFillSync(part));
await handle.close();

async function digestOf(name) {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(name)) hash.update(piece);
  return hash.digest("hex");
}

const wanted = await digestOf(file);
const before = process.resourceUsage().maxRSS;
const config = new TritonModelConfig({
  name: "large",
  backend: "python",
  inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [1])],
  outputs: [new TritonTensor("y", "TYPE_FP32", "FORMAT_NONE", [1])],
});
let uploaded = 0;
const made = await makeTritonConfiguration({
  models: [{ config, files: { "1/model.bin": file } }],
  storage,
  onProgress: ({ stage, bytes }) => {
    if (stage === "upload") uploaded = bytes;
  },
});
const artifact = await downloadArtifact(made.modelArtifactUri, { folder: path.join(folder, "cache") });
const copy = path.join(artifact.folder, "large", "1", "model.bin");
const same = (await stat(copy)).size === Number(mebibytes) * 1024 ** 2 && (await digestOf(copy)) === wanted;
await rm(file);
const growthMiB = Math.round((process.resourceUsage().maxRSS - before) / 1024);
console.log(JSON.stringify({ uri: made.modelArtifactUri, growthMiB, bytes: uploaded, same }));
