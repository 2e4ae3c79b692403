/** The voice activity example: each probability is what a bare loop over onnxruntime, with the state carried by hand, gives. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { OpenInferenceClient } from "servable/client";
import { ModelHttpServer } from "servable/http";
import { ModelRepositoryServer } from "servable/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeRepository, modelFile } from "../../examples/vad/repository.ts";
import { chunksOf, chunkSize, contextSize, sampleRate, speechProbabilities } from "../../examples/vad/speech.ts";
import { recording } from "../../examples/vad/voice.ts";
import { readWav, writeWav } from "../../examples/vad/wav.ts";
import { keepLog } from "../support/serving.ts";

let folder: string;
let models: ModelRepositoryServer;
let http: ModelHttpServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "servable-vad-"));
  await makeRepository(join(folder, "models"));
  models = new ModelRepositoryServer({ repositories: [join(folder, "models")], log: keepLog() });
  await models.start();
  http = new ModelHttpServer({ plane: models, port: 0, log: keepLog() });
  await http.start();
});
afterAll(async () => {
  await http.drain(1_000);
  await models.stop(1_000);
  await http.stop(1_000);
  await rm(folder, { recursive: true, force: true });
});

/** @param carries - false: each chunk is heard with the state of the beginning */
async function byHand(samples: Float32Array, carries = true): Promise<readonly number[]> {
  const session = await InferenceSession.create(modelFile, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  let state = new Tensor("float32", new Float32Array(2 * 128), [2, 1, 128]);
  const padded = new Float32Array(contextSize + Math.ceil(samples.length / chunkSize) * chunkSize);
  padded.set(samples, contextSize);
  const probabilities: number[] = [];
  for (let start = 0; start + contextSize + chunkSize <= padded.length; start += chunkSize) {
    const input = new Tensor("float32", padded.slice(start, start + contextSize + chunkSize), [1, contextSize + chunkSize]);
    const { output, stateN } = await session.run({ input, state });
    probabilities.push(Number(output!.data[0]));
    if (carries) state = new Tensor("float32", Float32Array.from(stateN!.data as Float32Array), [2, 1, 128]);
  }
  await session.release();
  return probabilities;
}

async function served(samples: Float32Array, id: number | string): Promise<readonly number[]> {
  const client = new OpenInferenceClient(http.url);
  const probabilities: number[] = [];
  for await (const probability of speechProbabilities(client, chunksOf(samples), id)) probabilities.push(probability);
  return probabilities;
}

const furthest = (some: readonly number[], others: readonly number[]): number =>
  Math.max(...some.map((one, index) => Math.abs(one - others[index]!)));

test("hears what a loop by hand hears, in several recordings at the same time", async () => {
  const samples = recording();
  const backwards = samples.toReversed();
  const quiet = samples.slice(0, 20_000).map((sample) => sample / 4);
  const recordings = [samples, backwards, quiet];
  const wanted = await Promise.all(recordings.map((one) => byHand(one)));
  const heard = await Promise.all(recordings.map((one, index) => served(one, index === 0 ? "first" : index)));
  for (const [index, probabilities] of heard.entries()) {
    expect(probabilities).toHaveLength(Math.ceil(recordings[index]!.length / chunkSize));
    expect(furthest(probabilities, wanted[index]!)).toBeLessThanOrEqual(1e-6);
  }
  expect(furthest(wanted[0]!, await byHand(samples, false))).toBeGreaterThan(0.1);
  const isSpeech = heard[0]!.map((probability) => probability >= 0.5);
  const second = sampleRate / chunkSize;
  expect(isSpeech.slice(0, second - 1)).not.toContain(true);
  expect(isSpeech.slice(second + 1, 3 * second - 2)).not.toContain(false);
  expect(isSpeech.slice(3 * second + 4)).not.toContain(true);
  const [{ inference_stats: stats }] = models.statistics("silero_vad", "1") as [ReturnType<typeof models.statistics>[number]];
  expect(stats.fail.count).toBe(0);
});

test("the program prints where somebody speaks", { timeout: 60_000 }, async () => {
  const file = join(folder, "voice.wav");
  await writeFile(file, writeWav(recording()));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "examples/vad/vad.ts", file, http.url]);
  expect(stdout).toMatch(/^speech from (0\.9\d|1\.0\d) s to 3\.[0-2]\d s\n$/);
});

test("recordings are read as they were written, and other files refused", () => {
  const samples = recording();
  const file = writeWav(samples);
  const read = readWav(file);
  expect(read).toHaveLength(samples.length);
  expect(furthest([...read], [...samples])).toBeLessThanOrEqual(1 / 32_768);
  const stereo = file.slice();
  stereo[22] = 2;
  for (const wrong of [stereo, file.subarray(0, 30), file.subarray(4)]) expect(() => readWav(wrong)).toThrow("16-bit mono");
});
