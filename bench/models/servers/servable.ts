/**
 * The model, served by servable with all its defaults: limits, deadlines, metrics, and one log line a request (written to nowhere).
 *
 * usage: BENCH_MODEL=MODEL.onnx [BENCH_LOG=off] [BENCH_PLACEMENT=inline] node servable.js PORT
 */
import { createLogger, HttpRuntime } from "servable/http";
import type { FastifyInstance } from "fastify";
import { monitorEventLoopDelay } from "node:perf_hooks";

const log = await createLogger({ format: "json", ...(process.env.BENCH_LOG === "off" ? { level: "silent" } : {}) });
const measuresLoop = process.env.BENCH_LOOP_DELAY === "on";
const runtime = new HttpRuntime({
  services: [{ module: new URL("../service.js", import.meta.url).href }],
  port: Number(process.argv[2]),
  log,
  ...(measuresLoop ? { configure: addLoopDelay } : {}),
});
await runtime.start();

function addLoopDelay(app: FastifyInstance): void {
  const resolution = 1;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  // What it records is the time from one of its timers to the next, so that a loop without any delay gives its resolution.
  app.get("/loop-delay", () => {
    const milliseconds = { p50: delay.percentile(50) / 1e6 - resolution, p99: delay.percentile(99) / 1e6 - resolution };
    delay.reset();
    return milliseconds;
  });
}
