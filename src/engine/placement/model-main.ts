/** The side of a worker with a model: loads it as its service's definition says, and runs it. */
import { ServableError, errorToData } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { ServiceLoader } from "../../service/loader.ts";
import { setupFailure } from "./inline.ts";
import type { HostMessage } from "./messages.ts";
import { packArrays, unpackArrays } from "./plain-arrays.ts";
import type { FromModel, ToModel } from "./remote-model.ts";
import { openPort } from "./worker-port.ts";

const port = await openPort<ToModel>();
const { init } = port;

function send(message: FromModel | HostMessage, transfer: readonly ArrayBuffer[] = []): void {
  port.send(message, transfer);
}

async function load(): Promise<Model> {
  const definition = await new ServiceLoader(init.spec).definition();
  if (definition.loadModel === undefined) throw new ServableError("load_failed", "the service has no model of its own");
  return definition.loadModel(init.place);
}

async function run(model: Model, message: Extract<ToModel, { readonly type: "run" }>): Promise<void> {
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
  port.end({ type: "stopped" } satisfies HostMessage);
}

const loaded = load();
port.listen((message) => {
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
  port.end({ type: "failed", error: errorToData(setupFailure(init.service, thrown)) } satisfies HostMessage);
}
