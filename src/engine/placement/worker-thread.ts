import { Worker } from "node:worker_threads";
import { ServableError, errorFromData, errorToData, messageOf } from "../../errors.ts";
import type { CallContext, StageTime } from "../../service/call-context.ts";
import { abortError } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { Logger } from "../../service/service.ts";
import { packBytes, type FromWorker, type ToWorker, type WorkerInit } from "./messages.ts";
import { RemoteStream } from "./remote-stream.ts";

interface PendingCall {
  readonly context: CallContext;
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: ServableError) => void;
  /** The body that is still being sent, where it is streamed. */
  readonly input: AsyncIterator<Uint8Array> | undefined;
  stream: RemoteStream | undefined;
}

/** How long a worker may take to close its service once nothing runs in it. */
const stopTimeoutMs = 5_000;

/** One worker thread with one instance of a service. It lives once: a crashed one is replaced by a new object. */
export class WorkerThread {
  /** Whether it ever finished a request, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  readonly #service: string;
  readonly #worker: Worker;
  readonly #log: Logger;
  readonly #calls = new Map<number, PendingCall>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #crashReason: string | undefined;
  #gone = false;
  #stopped: (() => void) | undefined;
  #started: { readonly resolve: () => void; readonly reject: (error: ServableError) => void } | undefined;

  /** @param onExit - called when the thread is gone, with the reason */
  constructor(init: WorkerInit, log: Logger, onExit: (reason: string) => void) {
    this.#service = init.service;
    this.#log = log;
    // From the sources, too, the worker is the built file: a worker thread can't run TypeScript by itself.
    this.#worker = new Worker(new URL("./worker-main.js", import.meta.url), { workerData: init, name: `servable:${init.service}` });
    this.#worker.on("message", (message: FromWorker) => {
      this.#receive(message);
    });
    this.#worker.on("error", (thrown) => {
      this.#crashReason ??= messageOf(thrown).split("\n")[0];
      this.#log.error({ err: thrown }, "worker crashed");
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once("exit", (code) => {
        this.#gone = true;
        const reason = this.#crashReason ?? `it ended by itself with exit code ${code}`;
        this.#failAll(reason);
        resolve();
        onExit(reason);
      });
    });
  }

  /** Requests in the worker, those among them that nobody waits for any more included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Resolves when the service is set up. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
    });
  }

  call(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const { body } = request;
      const whole = body instanceof Uint8Array ? packBytes(body, true) : undefined;
      const input = body instanceof Uint8Array ? undefined : body[Symbol.asyncIterator]();
      this.#calls.set(id, { context, resolve, reject, input, stream: undefined });
      context.onAbort = (error) => {
        this.#send({ type: "cancel", id, error: errorToData(error) });
      };
      this.#send(
        {
          type: "call",
          id,
          contentType: request.contentType,
          body: whole?.bytes,
          responseType: request.responseType,
          requestId: context.requestId,
          deadline: context.deadline,
          metadata: context.metadata,
        },
        whole?.transfer,
      );
    });
  }

  /**
   * Closes the service and ends the thread. A thread in which something still runs is left alone: ending it while native
   * code runs would abort the whole process.
   */
  async stop(): Promise<void> {
    if (this.#gone) return;
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    this.#send({ type: "stop" });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, stopTimeoutMs);
    });
    await Promise.race([stopped, this.#exited, late]);
    clearTimeout(timer);
    if (this.inFlight === 0) await this.#worker.terminate();
    else this.#worker.unref();
  }

  #send(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#gone) this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "ready":
        this.#started?.resolve();
        return;
      case "failed":
        this.#crashReason = message.error.message;
        this.#started?.reject(errorFromData(message.error));
        // What it had begun to load (a timer, a socket) may keep it alive.
        void this.#worker.terminate();
        return;
      case "log":
        this.#log[message.level](message.fields, message.message);
        return;
      case "stopped":
        this.#stopped?.();
        return;
      default:
        this.#receiveOfCall(message);
    }
  }

  #receiveOfCall(message: Extract<FromWorker, { readonly id: number }>): void {
    const { id } = message;
    const call = this.#calls.get(id);
    if (call === undefined) return;
    switch (message.type) {
      case "value":
        this.#finish(id, call, message.stages);
        call.resolve({ kind: "value", mediaType: message.mediaType, body: message.body });
        return;
      case "stream":
        call.stream = new RemoteStream(
          () => {
            this.#send({ type: "next", id });
          },
          () => {
            this.#send({ type: "return", id });
          },
        );
        call.resolve({ kind: "stream", mediaType: message.mediaType, items: call.stream });
        return;
      case "item":
        call.stream?.push(message.body);
        return;
      case "end":
        this.#finish(id, call, message.stages);
        call.stream?.end();
        return;
      case "error": {
        this.#finish(id, call, message.stages);
        const error = errorFromData(message.error);
        if (call.stream === undefined) call.reject(error);
        else call.stream.fail(error);
        return;
      }
      case "want":
        void this.#sendChunk(id, call);
    }
  }

  async #sendChunk(id: number, call: PendingCall): Promise<void> {
    try {
      const next = await call.input?.next();
      if (next === undefined || next.done === true) {
        this.#send({ type: "chunks_end", id });
      } else {
        // Over fetch the chunks may be arrays of the sender's own.
        const { bytes, transfer } = packBytes(next.value, false);
        this.#send({ type: "chunk", id, body: bytes }, transfer);
      }
    } catch (thrown) {
      this.#send({ type: "chunks_end", id, error: errorToData(abortError(thrown)) });
    }
  }

  #finish(id: number, call: PendingCall, stages: readonly StageTime[]): void {
    this.finishedARequest = true;
    this.#calls.delete(id);
    call.context.onAbort = undefined;
    call.context.stages.push(...stages);
    void call.input?.return?.();
  }

  #failAll(reason: string): void {
    this.#started?.reject(
      new ServableError("worker_crashed", `A worker of service '${this.#service}' crashed while it started: ${reason}`),
    );
    for (const { stream, reject, context } of this.#calls.values()) {
      context.onAbort = undefined;
      const error = new ServableError("worker_crashed", "The worker that ran the request crashed.", { cause: reason, stage: "call" });
      if (stream === undefined) reject(error);
      else stream.fail(error);
    }
    this.#calls.clear();
  }
}
