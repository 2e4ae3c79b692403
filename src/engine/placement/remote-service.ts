import { ServableError, errorFromData, errorToData, type ErrorData } from "../../errors.ts";
import type { CallContext, StageTime } from "../../service/call-context.ts";
import { abortError } from "../../service/call-context.ts";
import type { ModelRunOptions } from "../../model/model.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { Slots } from "../slots.ts";
import { packArrays, unpackArrays } from "./plain-arrays.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import { packBytes } from "./pack-bytes.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { RemoteStream } from "./remote-stream.ts";
import { StuckWatch, type WatchedCall } from "./stuck-watch.ts";
import { WorkerHost, type WorkerStart } from "./worker-host.ts";
import { runFailure } from "./run-failure.ts";

interface PendingCall extends WatchedCall {
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: ServableError) => void;
  readonly onAbort: (error: ServableError) => void;
  /** The body that is still being sent, where it is streamed. */
  readonly input: AsyncIterator<Uint8Array> | undefined;
  stream: RemoteStream | undefined;
  begun: boolean;
}

/** Runs the model that is elsewhere, for the worker of a number. */
export type RunModel = (inputs: NamedArrays, options: ModelRunOptions, worker: number) => Promise<NamedArrays>;

/** One worker with one instance of a service. It lives once: a crashed one is replaced by a new object. */
export class RemoteService {
  /** Whether it ever finished a request, which tells a crash in use from a crash at birth. */
  finishedARequest = false;
  readonly #host: WorkerHost<ToWorker, FromWorker>;
  readonly #watch: StuckWatch | undefined;
  readonly #calls = new Slots<PendingCall>();
  readonly #runModel: RunModel | undefined;
  readonly #worker: number;

  /**
   * @param onExit - called when the worker is gone, with the reason
   * @param onUnblocked - called when it is not `blocked` any more
   * @param runModel - runs the model of a worker that has only the stages around it
   */
  constructor(start: WorkerStart, onExit: (reason: string) => void, onUnblocked: () => void, runModel?: RunModel) {
    this.#runModel = runModel;
    this.#worker = start.init.place.worker;
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
    if (!this.#host.canKill) return;
    this.#watch = new StuckWatch({
      calls: this.#calls,
      killAfterMs: start.killAfterMs,
      kill: (why) => {
        this.#host.kill(why);
      },
      onUnblocked,
    });
  }

  /** Requests in the worker, those among them that nobody waits for any more included. */
  get inFlight(): number {
    return this.#calls.size;
  }

  /** Whether it seems to hang: what was sent to it now would be lost with it. */
  get blocked(): boolean {
    return this.killed || this.#watch?.blocked === true;
  }

  /** Whether it was ended for a call that would not stop, and so did not crash. */
  get killed(): boolean {
    return this.#host.killed;
  }

  get warmupMs(): number | undefined {
    return this.#host.warmupMs;
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
      const { body } = request;
      const whole = body instanceof Uint8Array ? packBytes(body, true) : undefined;
      const input = body instanceof Uint8Array ? undefined : body[Symbol.asyncIterator]();
      const onAbort = (error: ServableError): void => {
        this.#sendFailure((data) => ({ type: "cancel", id, error: data }), error);
        this.#watch?.gaveUp(call);
      };
      const call: PendingCall = { context, resolve, reject, onAbort, input, stream: undefined, begun: false, untold: false };
      const id = this.#calls.add(call);
      context.watchAbort(onAbort);
      try {
        if (this.#host.gone)
          throw new ServableError("worker_crashed", "The worker that was to run the request is gone.", { stage: "call" });
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
      } catch (thrown) {
        // What can't cross, such as a detached body: the worker never hears of the call.
        this.#calls.delete(id);
        context.unwatchAbort(onAbort);
        void input?.return?.();
        throw ServableError.isInstance(thrown)
          ? thrown
          : new ServableError("internal", "The request could not be sent to its worker.", { cause: thrown, stage: "call" });
      }
    });
  }

  #receive(message: FromWorker): void {
    const { id } = message;
    const call = this.#calls.get(id);
    if (message.type === "model_run") {
      void this.#runForWorker(message, call?.context);
      return;
    }
    if (call === undefined) return;
    switch (message.type) {
      case "begun":
        call.begun = true;
        this.#watch?.look();
        return;
      case "told":
        this.#watch?.told(call);
        return;
      case "value":
        this.#finish(id, call, message.stages);
        call.resolve({ kind: "value", mediaType: message.mediaType, body: message.body });
        return;
      case "stream":
        call.stream = new RemoteStream(
          () => {
            this.#host.send({ type: "next", id, deadline: call.context.deadline });
            this.#watch?.look();
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

  async #runForWorker(message: Extract<FromWorker, { readonly type: "model_run" }>, context: CallContext | undefined): Promise<void> {
    const { id, run, inputs, priority } = message;
    try {
      if (id !== 0 && context === undefined) throw new ServableError("cancelled", "The call that wanted the model's run is over.");
      if (this.#runModel === undefined) throw new ServableError("internal", "A worker asked for a model that it has itself.");
      const { arrays, transfer } = packArrays(await this.#runModel(unpackArrays(inputs), { context, priority }, this.#worker), false);
      this.#host.send({ type: "model_ran", run, outputs: arrays }, transfer);
    } catch (thrown) {
      this.#sendFailure((error) => ({ type: "model_failed", run, error }), runFailure(thrown));
    }
  }

  /** An error's details may hold what can't cross; then it goes without them. */
  #sendFailure(message: (error: ErrorData) => ToWorker, error: ServableError): void {
    try {
      this.#host.send(message(errorToData(error)));
    } catch {
      this.#host.send(message(errorToData(new ServableError(error.code, error.message))));
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
      this.#sendFailure((error) => ({ type: "chunks_end", id, error }), abortError(thrown));
    }
  }

  #finish(id: number, call: PendingCall, stages: readonly StageTime[]): void {
    this.finishedARequest = true;
    this.#calls.delete(id);
    call.context.unwatchAbort(call.onAbort);
    call.context.stages.push(...stages);
    void call.input?.return?.();
    this.#watch?.ended(call);
  }

  #failAll(reason: string): void {
    this.#watch?.stop();
    for (const { stream, reject, context, onAbort } of this.#calls.values()) {
      context.unwatchAbort(onAbort);
      const error = new ServableError("worker_crashed", "The worker that ran the request crashed.", { cause: reason, stage: "call" });
      if (stream === undefined) reject(error);
      else stream.fail(error);
      // Runs of the model elsewhere that were for it are for nobody now.
      context.abort(error);
    }
    this.#calls.clear();
  }
}
