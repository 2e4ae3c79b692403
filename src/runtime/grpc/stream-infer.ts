import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import { writeInferResponse } from "../../protocol/grpc/infer-response.ts";
import { finalResponseKey } from "../../protocol/grpc/parameters.ts";
import type { InferParameters } from "../../protocol/inference.ts";
import type { Messages } from "../../protocol/grpc/packages.ts";
import type { InferAdmission, ModelPlane, ServedModel } from "../model-plane.ts";
import { readMessage, writeMessage } from "./codec.ts";
import { inferenceFailure, inferenceText } from "./failure.ts";
import { metadataOfCall, type GrpcHost, type StreamCall } from "./host.ts";
import { forwardedMetadata, readAdmitted } from "./read-admitted.ts";
import { StreamReplies } from "./stream-replies.ts";

type Reply = inference.ModelStreamInferResponse.$Properties;
type Request = inference.ModelInferRequest;

/** Requests of one stream that may be in hand at once; then its messages wait to be read. */
const mostInHand = 64;

/** What a stream of inferences is made of. */
export interface StreamInferOptions {
  readonly host: GrpcHost;
  readonly messages: Messages;
  readonly plane: ModelPlane;
  readonly headerForwardPattern: RegExp | undefined;
}

/**
 * `ModelStreamInfer`: requests run beside each other; replies come in the requests' order, but for decoupled models, whose replies come as
 * they are made. A failure is a reply of its own, and the stream goes on.
 */
export function streamInfer(options: StreamInferOptions): handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    new InferStream(options, call).start();
  };
}

class InferStream {
  readonly #host: GrpcHost;
  readonly #messages: Messages;
  readonly #plane: ModelPlane;
  readonly #call: StreamCall;
  readonly #forwarded: InferParameters | undefined;
  readonly #replies: StreamReplies;
  readonly #running = new Set<InferAdmission>();
  /** The last reply that keeps to the order; the next one follows it. */
  #last: Promise<void> = Promise.resolve();
  #inHand = 0;
  #halfClosed = false;

  constructor({ host, messages, plane, headerForwardPattern }: StreamInferOptions, call: StreamCall) {
    this.#host = host;
    this.#messages = messages;
    this.#plane = plane;
    this.#call = call;
    this.#forwarded = forwardedMetadata(call, headerForwardPattern);
    this.#replies = new StreamReplies(call);
  }

  start(): void {
    const call = this.#call;
    const { draining, compression } = this.#host;
    const { metadata } = compression;
    if (metadata !== undefined) call.sendMetadata(metadata);
    const drain = (): void => {
      this.#halfClosed = true;
      this.#endIfDone();
    };
    draining.addEventListener("abort", drain, { once: true });
    call.on("cancelled", () => {
      draining.removeEventListener("abort", drain);
      for (const admission of this.#running) admission.cancel();
    });
    call.on("end", drain);
    // What a broken connection does to the stream is told by "cancelled"; without a listener it would end the process.
    call.on("error", () => undefined);
    call.on("data", (bytes: Buffer) => {
      this.#take(bytes);
    });
    if (draining.aborted) drain();
  }

  #take(bytes: Buffer): void {
    this.#inHand += 1;
    if (this.#inHand >= mostInHand) this.#call.pause();
    void this.#answer(bytes).finally(() => {
      this.#inHand -= 1;
      if (this.#inHand < mostInHand && !this.#halfClosed) this.#call.resume();
      this.#endIfDone();
    });
  }

  #endIfDone(): void {
    if (this.#halfClosed && this.#inHand === 0) this.#replies.end();
  }

  /** Never rejects: what goes wrong is a reply. */
  async #answer(bytes: Buffer): Promise<void> {
    let message: Request;
    let model: ServedModel;
    try {
      message = readMessage(this.#messages.inference.ModelInferRequest, bytes);
    } catch (thrown) {
      // A message that can't be read has no id to answer to, and nothing behind it can be trusted.
      this.#replies.fail(inferenceFailure(thrown));
      return;
    }
    try {
      model = this.#plane.model(message.modelName, message.modelVersion);
    } catch (thrown) {
      await this.#inOrder(Promise.resolve(this.#failed(message, thrown)));
      return;
    }
    if (model.config.modelTransactionPolicy?.decoupled === true) await this.#asTheyCome(model, message);
    else await this.#inOrder(this.#one(model, message));
  }

  async #inOrder(reply: Promise<Reply>): Promise<void> {
    const before = this.#last;
    const sent = before.then(async () => this.#send(await reply));
    this.#last = sent;
    await sent;
  }

  async #one(model: ServedModel, message: Request): Promise<Reply> {
    try {
      return await this.#admitted(model, async (admission) => {
        const response = await admission.infer(readAdmitted(admission, message, this.#forwarded));
        return { inferResponse: withFinal(writeInferResponse(response), message, true) };
      });
    } catch (thrown) {
      return this.#failed(message, thrown);
    }
  }

  async #asTheyCome(model: ServedModel, message: Request): Promise<void> {
    try {
      await this.#admitted(model, async (admission) => {
        for await (const response of admission.stream(readAdmitted(admission, message, this.#forwarded))) {
          await this.#send({ inferResponse: withFinal(writeInferResponse(response), message, false) });
          // Leaving the loop is what tells the model that nobody reads on.
          if (this.#replies.areOver) return;
        }
      });
      // The last reply of a decoupled model is empty, and is sent only to who asked for it.
      if (!wantsFinal(message)) return;
      const { modelName, id } = message;
      await this.#send({ inferResponse: withFinal({ modelName, modelVersion: model.version, id }, message, true) });
    } catch (thrown) {
      await this.#send(this.#failed(message, thrown));
    }
  }

  async #admitted<T>(model: ServedModel, use: (admission: InferAdmission) => Promise<T>): Promise<T> {
    const admission = model.admit({ metadata: () => metadataOfCall(this.#call) });
    this.#running.add(admission);
    try {
      if (this.#call.cancelled) admission.cancel();
      return await use(admission);
    } finally {
      this.#running.delete(admission);
    }
  }

  #failed(message: Request, thrown: unknown): Reply {
    return { errorMessage: inferenceText(thrown), inferResponse: withFinal({ id: message.id }, message, true) };
  }

  async #send(reply: Reply): Promise<void> {
    if (this.#call.cancelled) return;
    try {
      const bytes = writeMessage(this.#messages.inference.ModelStreamInferResponse, reply);
      await this.#replies.send(await this.#host.compression.compress(bytes));
    } catch (thrown) {
      // A reply that can't be written can't be told of in its place either.
      this.#replies.fail(inferenceFailure(thrown));
    }
  }
}

function wantsFinal({ parameters }: Request): boolean {
  return Object.hasOwn(parameters, finalResponseKey) && parameters[finalResponseKey]?.boolParam === true;
}

function withFinal(
  response: inference.ModelInferResponse.$Properties,
  message: Request,
  final: boolean,
): inference.ModelInferResponse.$Properties {
  if (!wantsFinal(message)) return response;
  return { ...response, parameters: { ...response.parameters, triton_final_response: { boolParam: final } } };
}
