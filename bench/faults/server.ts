/**
 * Serves the service of a module, with all defaults.
 *
 * usage: node server.js PORT MODULE
 */
import { createLogger, HttpRuntime } from "servable/http";

const runtime = new HttpRuntime({
  services: [{ module: new URL(process.argv[3] ?? "", import.meta.url).href }],
  port: Number(process.argv[2]),
  log: await createLogger({ format: "json" }),
});
await runtime.start();
