// Runs a service of services.ts over a file, until it ends or is killed: <services> <export> <input> <output> <checkpointMs>
import { pathToFileURL } from "node:url";
import { OfflineRuntime } from "servable/offline";

const [, , services, name, input, output, checkpointMs] = process.argv;
const service = { module: pathToFileURL(services).href, export: name };
const ignore = () => undefined;
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log };
const runtime = new OfflineRuntime({ service, input, output, checkpointMs: Number(checkpointMs), log });
await runtime.start();
console.log(JSON.stringify(await runtime.finished));
