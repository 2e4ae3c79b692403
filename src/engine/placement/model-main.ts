/** The side of a thread with a model: loads it as its service's definition says, and runs it. */
import { parentPort, workerData } from "node:worker_threads";
import { ServableError, errorToData } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { ServiceLoader } from "../../service/loader.ts";
import { firstPlace } from "../../service/model-loader.ts";
import { setupFailure } from "./inline.ts";
import type { HostMessage, WorkerInit } from "./messages.ts";
import type { FromModelThread, ToModelThread } from "./model-thread.ts";
import { packArrays, unpackArrays } from "./plain-arrays.ts";

const port = parentPort;
if (port === null) throw new ServableError("internal", "model-main runs in worker threads only.");
const init = workerData as WorkerInit;

function send(message: FromModelThread | HostMessage, transfer: readonly ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}

async function load(): Promise<Model> {
  const definition = await new ServiceLoader(init.spec).definition();
  if (definition.loadModel === undefined) throw new ServableError("load_failed", "the service has no model of its own");
  return definition.loadModel(firstPlace);
}

async function run(model: Model, message: Extract<ToModelThread, { readonly type: "run" }>): Promise<void> {
  const { id } = message;
  try {
    const { arrays, transfer } = packArrays(await model.run(unpackArrays(message.inputs)), true);
    send({ type: "outputs", id, outputs: arrays }, transfer);
  } catch (thrown) {
    const error = ServableError.isInstance(thrown) ? thrown : new ServableError("service_failed", "The model failed.", { cause: thrown });
    send({ type: "error", id, error: errorToData(error) });
  }
}

async function stop(model: Model): Promise<void> {
  await model.close();
  send({ type: "stopped" });
  port?.close();
}

const loaded = load();
port.on("message", (message: ToModelThread) => {
  void loaded.then(
    (model) => (message.type === "run" ? run(model, message) : stop(model)),
    () => undefined,
  );
});

try {
  const { inputs, outputs } = await loaded;
  send({ type: "loaded", inputs, outputs });
  send({ type: "ready" });
} catch (thrown) {
  send({ type: "failed", error: errorToData(setupFailure(init.service, thrown)) });
  port.close();
}
