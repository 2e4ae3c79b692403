/** The side of a worker with a service: constructs one instance of a service and runs it through its FullService, bytes in, bytes out. */
import { ServableError, errorFromData, errorToData } from "../../errors.ts";
import { CallContext } from "../../service/call-context.ts";
import { stageFailure } from "../../service/checked-call.ts";
import { FullService, type EncodedResponse } from "../../service/full-service.ts";
import { ServiceLoader } from "../../service/loader.ts";
import type { Logger } from "../../service/service.ts";
import { DistantModel } from "./distant-model.ts";
import { setupFailure } from "./inline.ts";
import { packBytes } from "./pack-bytes.ts";
import type { FromWorker, HostMessage, ToWorker } from "./messages.ts";
import { workerLogger } from "./worker-log.ts";
import { openPort } from "./worker-port.ts";

type CallMessage = Extract<ToWorker, { readonly type: "call" }>;

interface RunningCall {
  readonly context: CallContext;
  readonly chunks: ChunkReceiver;
  iterator: AsyncIterator<Uint8Array | string> | undefined;
  /** Whether an item is being made: the iterator is asked for one at a time. */
  ended: boolean;
}

const port = await openPort<ToWorker>();
const { init } = port;
const calls = new Map<number, RunningCall>();
const callNumbers = new WeakMap<CallContext, number>();
const distant = new DistantModel(init.service, send, (context) => callNumbers.get(context));
const setupAborter = new AbortController();
let warmupMs: number | undefined;

function send(message: FromWorker | HostMessage, transfer: readonly ArrayBuffer[] = []): void {
  port.send(message, transfer);
}

const logger = (extra: object): Logger => workerLogger(send, extra);

/** The chunks of a streamed body, each asked for when the service wants it. */
class ChunkReceiver implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #id: number;
  #asker:
    { readonly resolve: (result: IteratorResult<Uint8Array, undefined>) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(id: number) {
    this.#id = id;
  }
  [Symbol.asyncIterator](): this {
    return this;
  }
  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    return new Promise((resolve, reject) => {
      this.#asker = { resolve, reject };
      send({ type: "want", id: this.#id });
    });
  }
  push(body: Uint8Array): void {
    this.#asker?.resolve({ done: false, value: body });
  }
  end(error: ServableError | undefined): void {
    if (error === undefined) this.#asker?.resolve({ done: true, value: undefined });
    else this.#asker?.reject(error);
  }
}

async function start(): Promise<FullService> {
  const definition = await new ServiceLoader(init.spec).definition();
  // The engine may have been stopped in the meantime.
  setupAborter.signal.throwIfAborted();
  const service = new FullService(definition.create(), { ...definition, policy: { maxBodyBytes: init.maxBodyBytes } });
  await service.setup({
    signal: setupAborter.signal,
    log: logger({}),
    place: init.place,
    ...(init.stagesOnly ? { model: distant.model, gather: (batcher) => distant.gather(batcher) } : {}),
  });
  if (definition.warmup.length > 0) {
    const since = performance.now();
    await service.warmUp(definition.warmup);
    warmupMs = performance.now() - since;
  }
  return service;
}

async function run(service: FullService, message: CallMessage): Promise<void> {
  const { id, requestId, deadline, metadata, contentType, responseType } = message;
  const context = new CallContext({ requestId, deadline, metadata: () => metadata, log: () => logger({ requestId }) });
  const chunks = new ChunkReceiver(id);
  const call: RunningCall = { context, chunks, iterator: undefined, ended: false };
  // Before it runs: it may not let the thread go for long, or ever.
  if (port.canBeKilled && calls.size > 0) send({ type: "begun", id });
  calls.set(id, call);
  if (init.stagesOnly) callNumbers.set(context, id);
  try {
    // It may have waited behind one that held the thread, and with it the word that it is given up.
    if (deadline <= Date.now()) throw new ServableError("deadline_exceeded", "The request's time was over before its turn came.");
    const response: EncodedResponse = await service.call({ contentType, body: message.body ?? chunks, responseType }, context);
    if (response.kind === "stream") {
      call.iterator = response.items[Symbol.asyncIterator]();
      send({ type: "stream", id, mediaType: response.mediaType });
      return;
    }
    calls.delete(id);
    const { body, mediaType } = response;
    const packed = typeof body === "string" ? undefined : packBytes(body, false);
    send({ type: "value", id, mediaType, body: packed?.bytes ?? body, stages: context.stages }, packed?.transfer);
  } catch (thrown) {
    fail(id, call, thrown);
  }
}

function fail(id: number, call: RunningCall, thrown: unknown): void {
  calls.delete(id);
  const { context } = call;
  const { stages } = context;
  const error = stageFailure("call", thrown, context);
  try {
    send({ type: "error", id, error: errorToData(error), stages });
  } catch (refused) {
    // Its details hold something that can't cross.
    send({ type: "error", id, error: errorToData(stageFailure("call", refused, context)), stages });
  }
}

async function sendNext(id: number, call: RunningCall): Promise<void> {
  try {
    const next = await call.iterator?.next();
    if (next === undefined || next.done === true) {
      end(id, call);
      return;
    }
    const packed = typeof next.value === "string" ? undefined : packBytes(next.value, false);
    // It owes nothing until it is asked again.
    call.context.renewDeadline(Infinity);
    send({ type: "item", id, body: packed?.bytes ?? next.value }, packed?.transfer);
  } catch (thrown) {
    if (!call.ended) fail(id, call, thrown);
  }
}

async function returnEarly(id: number, call: RunningCall): Promise<void> {
  try {
    await call.iterator?.return?.();
  } catch {
    // Nobody is left to tell; the stream ends either way.
  }
  end(id, call);
}

function end(id: number, call: RunningCall): void {
  if (call.ended) return;
  call.ended = true;
  calls.delete(id);
  send({ type: "end", id, stages: call.context.stages });
}

async function stop(service: FullService): Promise<void> {
  try {
    await service.close();
  } catch (thrown) {
    logger({}).error({ err: thrown }, "close failed");
  }
  port.end({ type: "stopped" } satisfies HostMessage);
}

const started = start();
port.listen((message) => {
  if (message.type === "stop") setupAborter.abort();
  // A warm-up waits for it before there is a service to hand it to.
  if (message.type === "model_ran" || message.type === "model_failed") {
    distant.receive(message);
    return;
  }
  void started.then(
    (service) => {
      receive(service, message);
    },
    () => undefined,
  );
});

function receive(service: FullService, message: Exclude<ToWorker, { readonly type: "model_ran" | "model_failed" }>): void {
  if (message.type === "call") {
    void run(service, message);
    return;
  }
  if (message.type === "stop") {
    void stop(service);
    return;
  }
  const call = calls.get(message.id);
  if (call === undefined) return;
  switch (message.type) {
    case "chunk":
      call.chunks.push(message.body);
      return;
    case "chunks_end":
      call.chunks.end(message.error && errorFromData(message.error));
      return;
    case "cancel":
      call.context.abort(errorFromData(message.error));
      if (port.canBeKilled && calls.has(message.id)) send({ type: "told", id: message.id });
      return;
    case "next":
      call.context.renewDeadline(performance.now() + message.deadline - Date.now());
      void sendNext(message.id, call);
      return;
    case "return":
      void returnEarly(message.id, call);
  }
}

try {
  await started;
  send({ type: "ready", warmupMs });
} catch (thrown) {
  port.end({ type: "failed", error: errorToData(setupFailure(init.service, thrown)) } satisfies HostMessage);
}
