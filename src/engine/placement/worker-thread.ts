import { ServableError, errorFromData, errorToData } from "../../errors.ts";
import type { CallContext, StageTime } from "../../service/call-context.ts";
import { abortError } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import type { Logger } from "../../service/service.ts";
import { packBytes, type FromWorker, type ToWorker, type WorkerInit } from "./messages.ts";
import { RemoteStream } from "./remote-stream.ts";
import { ThreadHost } from "./thread-host.ts";

interface PendingCall {
  readonly context: CallContext;
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: ServableError) => void;
  /** The body that is still being sent, where it is streamed. */
  readonly input: AsyncIterator<Uint8Array> | undefined;
  stream: RemoteStream | undefined;
}

/** One worker thread with one instance of a service. It lives once: a crashed one is replaced by a new object. */
export class WorkerThread {
  /** Whether it ever finished a request, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  readonly #host: ThreadHost<ToWorker, FromWorker>;
  readonly #calls = new Map<number, PendingCall>();
  #nextId = 1;

  /** @param onExit - called when the thread is gone, with the reason */
  constructor(init: WorkerInit, log: Logger, onExit: (reason: string) => void) {
    const owner = {
      receive: (message: FromWorker): void => {
        this.#receive(message);
      },
      failAll: (reason: string): void => {
        this.#failAll(reason);
      },
      busy: (): boolean => this.inFlight > 0,
    };
    // From the sources, too, the worker is the built file: a worker thread can't run TypeScript by itself.
    this.#host = new ThreadHost(new URL("./worker-main.js", import.meta.url), init, log, owner, onExit);
  }

  /** Requests in the worker, those among them that nobody waits for any more included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Resolves when the service is set up. @throws ServableError `load_failed` or `worker_crashed` */
  ready(): Promise<void> {
    return this.#host.ready();
  }

  stop(): Promise<void> {
    return this.#host.stop();
  }

  call(request: EncodedRequest, context: CallContext): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const { body } = request;
      const whole = body instanceof Uint8Array ? packBytes(body, true) : undefined;
      const input = body instanceof Uint8Array ? undefined : body[Symbol.asyncIterator]();
      this.#calls.set(id, { context, resolve, reject, input, stream: undefined });
      context.onAbort = (error) => {
        this.#host.send({ type: "cancel", id, error: errorToData(error) });
      };
      this.#host.send(
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

  #receive(message: FromWorker): void {
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
            this.#host.send({ type: "next", id });
          },
          () => {
            this.#host.send({ type: "return", id });
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
        this.#host.send({ type: "chunks_end", id });
      } else {
        // Over fetch the chunks may be arrays of the sender's own.
        const { bytes, transfer } = packBytes(next.value, false);
        this.#host.send({ type: "chunk", id, body: bytes }, transfer);
      }
    } catch (thrown) {
      this.#host.send({ type: "chunks_end", id, error: errorToData(abortError(thrown)) });
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
    for (const { stream, reject, context } of this.#calls.values()) {
      context.onAbort = undefined;
      const error = new ServableError("worker_crashed", "The worker that ran the request crashed.", { cause: reason, stage: "call" });
      if (stream === undefined) reject(error);
      else stream.fail(error);
    }
    this.#calls.clear();
  }
}
