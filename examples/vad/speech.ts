import { tensor, type OpenInferenceClient } from "servable/client";

/** Samples in a second of what the model hears. */
export const sampleRate = 16_000;
/** Samples in a chunk: 32 ms. */
export const chunkSize = 512;
/** What the model wants to hear again, before each chunk, of the one before it. */
export const contextSize = 64;

/** How probably each chunk is speech. The requests are a sequence, whose state the server keeps. */
export async function* speechProbabilities(
  client: OpenInferenceClient,
  chunks: Iterable<Float32Array> | AsyncIterable<Float32Array>,
  id: number | string,
): AsyncGenerator<number> {
  let heard = new Float32Array(contextSize + chunkSize);
  const hear = async (chunk: Float32Array, flags: { readonly start?: boolean; readonly end?: boolean }): Promise<number> => {
    const input = new Float32Array(heard.length);
    input.set(heard.subarray(chunkSize));
    input.set(chunk, contextSize);
    heard = input;
    const { outputs } = await client.infer(
      "silero_vad",
      { input: tensor("FP32", [1, input.length], input) },
      { sequence: { id, ...flags } },
    );
    return Number(outputs.output?.data[0]);
  };
  let start = true;
  for await (const chunk of chunks) {
    yield await hear(chunk, { start });
    start = false;
  }
  // Silence, which ends the sequence, so that its place is free at once and not only when it has been idle.
  if (!start) await hear(new Float32Array(chunkSize), { end: true });
}

/** A recording in chunks; the last one is filled up with silence. */
export function* chunksOf(samples: Float32Array): Generator<Float32Array> {
  for (let start = 0; start < samples.length; start += chunkSize) {
    const chunk = new Float32Array(chunkSize);
    chunk.set(samples.subarray(start, start + chunkSize));
    yield chunk;
  }
}
