import { Worker } from "node:worker_threads";
import type { WorkerInit } from "./messages.ts";
import type { WorkerEvents, WorkerLink } from "./worker-link.ts";

/** Starts a worker thread. */
export function openThread(entry: URL, init: WorkerInit, events: WorkerEvents): WorkerLink {
  // onnxruntime reads it from the process, and what a thread sets is a copy's. A user's own choice is left alone.
  process.env.ORT_DISABLE_TELEMETRY ??= "1";
  const worker = new Worker(entry, { workerData: init, name: `servable:${init.service}` });
  worker.on("message", (message: unknown) => {
    events.message(message);
  });
  worker.on("error", (thrown) => {
    events.threw(thrown);
  });
  worker.once("exit", (code) => {
    events.gone(`it ended by itself with exit code ${code}`);
  });
  return {
    post: (message, transfer) => {
      worker.postMessage(message, transfer);
    },
    // To end a thread while native code runs in it would abort the whole process.
    kill: undefined,
    async end(busy) {
      if (busy) worker.unref();
      else await worker.terminate();
    },
  };
}
