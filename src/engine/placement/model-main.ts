/** The side of a worker with a model: loads it as its service's definition says, and runs it. */
import { ServableError, errorToData } from "../../errors.ts";
import { checkOutputs } from "../../model/check-outputs.ts";
import type { Model } from "../../model/model.ts";
import { ServiceLoader } from "../../service/loader.ts";
import { openModel } from "../../service/model-loader.ts";
import { setupFailure } from "./inline.ts";
import type { HostMessage } from "./messages.ts";
import { packArrays, unpackArrays } from "./plain-arrays.ts";
import type { FromModel, ToModel } from "./remote-model.ts";
import { givenUp, runFailure } from "./run-failure.ts";
import { workerLogger } from "./worker-log.ts";
import { openPort } from "./worker-port.ts";

const port = await openPort<ToModel>();
const { init } = port;

function send(message: FromModel | HostMessage, transfer: readonly ArrayBuffer[] = []): void {
  port.send(message, transfer);
}

async function load(): Promise<Model> {
  const definition = await new ServiceLoader(init.spec).definition();
  if (definition.loadModel === undefined) throw new ServableError("load_failed", "the service has no model of its own");
  return openModel(definition.loadModel, { ...init.place, log: workerLogger(send, {}) });
}

/** Runs that can be told that they are given up. */
const aborters = new Map<number, AbortController>();

async function run(model: Model, message: Extract<ToModel, { readonly type: "run" }>): Promise<void> {
  const { id } = message;
  const aborter = model.cancellable === true ? new AbortController() : undefined;
  if (aborter !== undefined) aborters.set(id, aborter);
  try {
    const outputs: unknown = await model.run(unpackArrays(message.inputs), aborter && { signal: aborter.signal });
    checkOutputs(model, outputs);
    const { arrays, transfer } = packArrays(outputs, "arrays");
    send({ type: "outputs", id, outputs: arrays }, transfer);
  } catch (thrown) {
    send({ type: "error", id, error: errorToData(runFailure(thrown)) });
  } finally {
    aborters.delete(id);
  }
}

function receive(model: Model, message: ToModel): void {
  switch (message.type) {
    case "run":
      void run(model, message);
      return;
    case "cancel":
      aborters.get(message.id)?.abort(givenUp());
      return;
    case "stop":
      void stop(model);
  }
}

async function stop(model: Model): Promise<void> {
  try {
    await model.close();
  } catch (thrown) {
    workerLogger(send, {}).error({ err: thrown }, "close failed");
  }
  port.end({ type: "stopped" } satisfies HostMessage);
}

const loaded = load();
port.listen((message) => {
  void loaded.then(
    (model) => {
      receive(model, message);
    },
    () => undefined,
  );
});

try {
  const { inputs, outputs, cancellable } = await loaded;
  send({ type: "loaded", inputs, outputs, cancellable });
  send({ type: "ready" });
} catch (thrown) {
  port.end({ type: "failed", error: errorToData(setupFailure(init.service, thrown)) } satisfies HostMessage);
}
