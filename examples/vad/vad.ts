/**
 * Prints where in a recording somebody speaks.
 *
 * usage: npx tsx examples/vad/vad.ts FILE.wav [URL]   (16-bit mono at 16 kHz; the server's address is http://127.0.0.1:8000 by default)
 */
import { readFile } from "node:fs/promises";
import { argv } from "node:process";
import { OpenInferenceClient } from "servable/client";
import { chunksOf, chunkSize, sampleRate, speechProbabilities } from "./speech.ts";
import { readWav } from "./wav.ts";

const [, , file = "voice.wav", url = "http://127.0.0.1:8000"] = argv;
const client = new OpenInferenceClient(url);
const seconds = (chunk: number): string => ((chunk * chunkSize) / sampleRate).toFixed(2);
let chunk = 0;
let since: number | undefined;
for await (const probability of speechProbabilities(client, chunksOf(readWav(await readFile(file))), `vad-${process.pid}`)) {
  // Who speaks is believed to go on for a little longer than it takes to believe that somebody does.
  if (since === undefined && probability >= 0.5) since = chunk;
  if (since !== undefined && probability < 0.35) {
    console.log(`speech from ${seconds(since)} s to ${seconds(chunk)} s`);
    since = undefined;
  }
  chunk += 1;
}
if (since !== undefined) console.log(`speech from ${seconds(since)} s to the end`);
