import { sampleRate } from "./speech.ts";

const headerBytes = 44;

/** The samples of a WAV file, from -1 to 1. @throws Error for one that is not 16-bit mono at 16 kHz */
export function readWav(file: Uint8Array): Float32Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const wrong = new Error(`The recording must be a WAV file of 16-bit mono samples at ${sampleRate} Hz.`);
  const tag = (at: number): string => String.fromCharCode(...file.subarray(at, at + 4));
  if (file.byteLength < headerBytes || tag(0) !== "RIFF" || tag(8) !== "WAVE") throw wrong;
  let known = false;
  for (let at = 12; at + 8 <= file.byteLength;) {
    const length = view.getUint32(at + 4, true);
    const start = at + 8;
    if (tag(at) === "fmt " && start + 16 <= file.byteLength) {
      const [format, channels, bits] = [view.getUint16(start, true), view.getUint16(start + 2, true), view.getUint16(start + 14, true)];
      known = format === 1 && channels === 1 && bits === 16 && view.getUint32(start + 4, true) === sampleRate;
    }
    if (tag(at) === "data" && known) {
      const count = Math.floor(Math.min(length, file.byteLength - start) / 2);
      return Float32Array.from({ length: count }, (_, index) => view.getInt16(start + 2 * index, true) / 32_768);
    }
    // A part of odd length is followed by a byte that is none's.
    at = start + length + (length % 2);
  }
  throw wrong;
}

/** A WAV file of samples from -1 to 1. */
export function writeWav(samples: Float32Array): Uint8Array {
  const file = new Uint8Array(headerBytes + 2 * samples.length);
  const view = new DataView(file.buffer);
  const tag = (at: number, text: string): void => {
    file.set(new TextEncoder().encode(text), at);
  };
  tag(0, "RIFF");
  view.setUint32(4, file.byteLength - 8, true);
  tag(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  tag(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => {
    view.setInt16(headerBytes + 2 * index, Math.max(-32_768, Math.min(32_767, Math.round(32_768 * sample))), true);
  });
  return file;
}
