/**
 * What a good engineer writes to serve one model: bare Fastify, a schema for JSON in and out, one worker thread, and batches of what is
 * waiting when the worker is idle. No limits, no metrics, no cancelling, no deadlines; a crash of the worker ends it.
 *
 * usage: node server.js PORT MODEL.onnx
 */
import { fastify } from "fastify";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

const [, , port, model] = process.argv;
const inputs = 64;
const outputs = 10;
const maxRows = 16;

interface Waiting {
  readonly row: readonly number[];
  readonly resolve: (scores: Float32Array) => void;
}

const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: model });
const waiting: Waiting[] = [];
let running: readonly Waiting[] = [];

function startBatch(): void {
  if (running.length > 0 || waiting.length === 0) return;
  running = waiting.splice(0, maxRows);
  const x = new Float32Array(running.length * inputs);
  running.forEach(({ row }, index) => {
    x.set(row, index * inputs);
  });
  worker.postMessage(x, [x.buffer]);
}

function predict(row: readonly number[]): Promise<Float32Array> {
  return new Promise((resolve) => {
    waiting.push({ row, resolve });
    // When all that this turn of the event loop has read is there.
    if (waiting.length === 1) setImmediate(startBatch);
  });
}

await once(worker, "message");
worker.on("message", (y: Float32Array) => {
  const done = running;
  running = [];
  startBatch();
  done.forEach(({ resolve }, index) => {
    resolve(y.subarray(index * outputs, (index + 1) * outputs));
  });
});

const numbers = (length: number): object => ({ type: "array", items: { type: "number" }, minItems: length, maxItems: length });
const objectOf = (name: string, length: number): object => ({
  type: "object",
  required: [name],
  properties: { [name]: numbers(length) },
});

const app = fastify({ logger: false });
app.post<{ Body: { x: number[] } }>(
  "/predict",
  { schema: { body: objectOf("x", inputs), response: { 200: objectOf("y", outputs) } } },
  async (request) => ({ y: Array.from(await predict(request.body.x)) }),
);
await app.listen({ host: "127.0.0.1", port: Number(port) });
