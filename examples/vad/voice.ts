/**
 * Makes a recording of something like a voice: a second of silence, two of vowels, a second of silence.
 *
 * usage: npx tsx examples/vad/voice.ts FILE.wav
 */
import { writeFile } from "node:fs/promises";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { sampleRate } from "./speech.ts";
import { writeWav } from "./wav.ts";

/** The three lowest resonances of a mouth that says a, u, i and e, in Hz. */
const vowels = [
  [700, 1220, 2600],
  [300, 870, 2240],
  [270, 2290, 3010],
  [530, 1840, 2480],
] as const;
const vowelsPerSecond = 4;

/** Pulses of the vocal cords, their pitch wandering, through the resonances of a mouth that moves from vowel to vowel. */
export function voice(seconds: number): Float32Array {
  const samples = new Float32Array(seconds * sampleRate);
  const past = vowels[0].map(() => [0, 0] as [number, number]);
  let phase = 0;
  let loudest = 0;
  for (let index = 0; index < samples.length; index += 1) {
    const time = index / sampleRate;
    const pitch = 120 + 25 * Math.sin(2 * Math.PI * 0.9 * time) + 8 * Math.sin(2 * Math.PI * 3.1 * time);
    phase += pitch / sampleRate;
    let sample = phase >= 1 ? 1 : 0;
    phase %= 1;
    const place = time * vowelsPerSecond;
    const from = vowels[Math.floor(place) % vowels.length] ?? vowels[0];
    const to = vowels[(Math.floor(place) + 1) % vowels.length] ?? vowels[0];
    past.forEach((last, formant) => {
      const frequency = (from[formant] ?? 0) * (1 - (place % 1)) + (to[formant] ?? 0) * (place % 1);
      const width = Math.exp((-Math.PI * (60 + 40 * formant)) / sampleRate);
      const resonance = 2 * width * Math.cos((2 * Math.PI * frequency) / sampleRate);
      sample = (1 - width) * sample + resonance * last[0] - width * width * last[1];
      last[1] = last[0];
      last[0] = sample;
    });
    samples[index] = sample * Math.sqrt(Math.sin(Math.PI * (place % 1)));
    loudest = Math.max(loudest, Math.abs(samples[index] ?? 0));
  }
  return samples.map((sample) => (0.5 * sample) / loudest);
}

/** The recording. */
export function recording(): Float32Array {
  const samples = new Float32Array(4 * sampleRate);
  samples.set(voice(2), sampleRate);
  return samples;
}

const [, script = "", file = "voice.wav"] = argv;
if (import.meta.url === pathToFileURL(script).href) await writeFile(file, writeWav(recording()));
