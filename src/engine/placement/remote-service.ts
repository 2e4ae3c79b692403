import { ServableError, errorFromData, errorToData } from "../../errors.ts";
import type { CallContext, StageTime } from "../../service/call-context.ts";
import { abortError } from "../../service/call-context.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import { packBytes, type FromWorker, type ToWorker } from "./messages.ts";
import { RemoteStream } from "./remote-stream.ts";
import { WorkerHost, type WorkerStart } from "./worker-host.ts";

interface PendingCall {
  readonly context: CallContext;
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: ServableError) => void;
  /** The body that is still being sent, where it is streamed. */
  readonly input: AsyncIterator<Uint8Array> | undefined;
  stream: RemoteStream | undefined;
  /** Whether the worker said that it has begun with it, although others ran. */
  begun: boolean;
}

/** The longest time that a timer can wait. */
const longestTimerMs = 2 ** 31 - 1;

/** One worker with one instance of a service. It lives once: a crashed one is replaced by a new object. */
export class RemoteService {
  /** Whether it ever finished a request, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  readonly #host: WorkerHost<ToWorker, FromWorker>;
  readonly #killAfterMs: number;
  readonly #calls = new Map<number, PendingCall>();
  #nextId = 1;
  /** Calls in the worker that nobody waits for any more. */
  #givenUp = 0;
  #killTimer: NodeJS.Timeout | undefined;

  /** @param onExit - called when the worker is gone, with the reason */
  constructor(start: WorkerStart, onExit: (reason: string) => void) {
    this.#killAfterMs = Math.min(start.killAfterMs, longestTimerMs);
    const owner = {
      receive: (message: FromWorker): void => {
        this.#receive(message);
      },
      failAll: (reason: string): void => {
        this.#failAll(reason);
      },
      busy: (): boolean => this.inFlight > 0,
    };
    // From the sources, too, the worker is the built file: a worker can't run TypeScript by itself.
    this.#host = new WorkerHost(new URL("./worker-main.js", import.meta.url), start, owner, onExit);
  }

  /** Requests in the worker, those among them that nobody waits for any more included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Whether it was ended by {@link killAfterMs}, and so did not crash. */
  get killed(): boolean {
    return this.#host.killed;
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
      this.#calls.set(id, { context, resolve, reject, input, stream: undefined, begun: false });
      context.onAbort = (error) => {
        this.#host.send({ type: "cancel", id, error: errorToData(error) });
        this.#givenUp += 1;
        this.#considerKill();
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
      case "begun":
        call.begun = true;
        this.#considerKill();
        return;
      case "value":
        this.#finish(id, call, message.stages);
        call.resolve({ kind: "value", mediaType: message.mediaType, body: message.body });
        return;
      case "stream":
        call.stream = new RemoteStream(
          () => {
            this.#host.send({ type: "next", id });
            this.#considerKill();
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
    if (call.context.abortReason !== undefined) this.#givenUp -= 1;
    // Something ended: what is left has the whole time anew.
    clearTimeout(this.#killTimer);
    this.#killTimer = undefined;
    this.#considerKill();
  }

  /** Has the worker killed in `killAfterMs`, unless it gets on with something until then. */
  #considerKill(): void {
    if (this.#killTimer === undefined && this.#givenUp === 0) return;
    if (!this.#host.canKill) return;
    if (!this.#isLost()) {
      clearTimeout(this.#killTimer);
      this.#killTimer = undefined;
      return;
    }
    this.#killTimer ??= setTimeout(() => {
      this.#host.kill(`a call went on for ${this.#killAfterMs} ms after it was given up (killAfterMs)`);
    }, this.#killAfterMs);
  }

  /**
   * Whether all that the worker has begun and owes an answer to was given up. Which of several calls it is that holds the worker nobody can
   * tell from here, so as long as one of them is wanted the worker is left to it, which its deadline bounds.
   */
  #isLost(): boolean {
    let isFirst = true;
    let anyGivenUp = false;
    for (const { context, stream, begun } of this.#calls.values()) {
      // They begin in their order, so one that stands behind others says so when it begins.
      if (!isFirst && !begun) continue;
      isFirst = false;
      if (context.abortReason !== undefined) anyGivenUp = true;
      else if (stream === undefined || stream.isAsked) return false;
    }
    return anyGivenUp;
  }

  #failAll(reason: string): void {
    clearTimeout(this.#killTimer);
    for (const { stream, reject, context } of this.#calls.values()) {
      context.onAbort = undefined;
      const error = new ServableError("worker_crashed", "The worker that ran the request crashed.", { cause: reason, stage: "call" });
      if (stream === undefined) reject(error);
      else stream.fail(error);
    }
    this.#calls.clear();
  }
}
