// Runs a service of services.ts over a file, until it ends or is killed: <export> <input> <output> <checkpointMs>
import { OfflineRuntime } from "servable/offline";

const [, , name, input, output, checkpointMs] = process.argv;
const service = { module: new URL("services.ts", import.meta.url).href, export: name };
const ignore = () => undefined;
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log };
const runtime = new OfflineRuntime({ service, input, output, checkpointMs: Number(checkpointMs), log });
await runtime.start();
console.log(JSON.stringify(await runtime.finished));
