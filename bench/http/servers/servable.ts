/** The same echo, served by servable: with limits, deadlines, metrics and one log line a request (written to nowhere). */
import { createLogger, HttpRuntime } from "servable/http";
import { echo } from "../service.ts";

const log = await createLogger({ format: "json", ...(process.env.BENCH_LOG === "off" ? { level: "silent" } : {}) });
const runtime = new HttpRuntime({ services: [echo], port: Number(process.argv[2]), log });
await runtime.start();
