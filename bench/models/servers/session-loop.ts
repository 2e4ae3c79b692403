/**
 * The limit of the model: `session.run` in a loop, sixteen rows at a time, with nothing around it. Prints the rows of a second.
 *
 * usage: node session-loop.js SECONDS MODEL.onnx
 */
import { InferenceSession, Tensor } from "onnxruntime-node";

const [, , seconds, model = ""] = process.argv;
const rows = 16;
const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const x = new Tensor(
  "float32",
  Float32Array.from({ length: rows * 64 }, (_, index) => Math.sin(index)),
  [rows, 64],
);

async function rowsPerSecond(durationMs: number): Promise<number> {
  const start = performance.now();
  let runs = 0;
  for (; performance.now() - start < durationMs; runs++) await session.run({ x });
  return (runs * rows * 1_000) / (performance.now() - start);
}

await rowsPerSecond(1_000);
process.stdout.write(`${await rowsPerSecond(Number(seconds) * 1_000)}\n`);
