/**
 * Serves `compute` with all defaults.
 *
 * usage: node server.js PORT
 */
import { createLogger, HttpRuntime } from "servable/http";

const runtime = new HttpRuntime({
  services: [{ module: new URL("./service.js", import.meta.url).href }],
  port: Number(process.argv[2]),
  log: await createLogger({ format: "json" }),
});
await runtime.start();
