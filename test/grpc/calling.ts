/** Bare calls over grpc-js, with nothing of ours between but the messages. */
import * as grpc from "@grpc/grpc-js";
import * as messages from "../../src/protocol/grpc/generated/messages.js";

export interface Answer<T> {
  readonly code: number;
  readonly details: string;
  readonly message: T | undefined;
  readonly trailers: grpc.Metadata;
}

interface Type<Q, R> {
  encode(message: Q): { finish(): Uint8Array };
  decode(bytes: Uint8Array): R;
}

export class Caller implements Disposable {
  readonly client: grpc.Client;

  constructor(url: string, credentials = grpc.credentials.createInsecure(), options: grpc.ClientOptions = {}) {
    this.client = new grpc.Client(url.replace(/^grpcs?:\/\//, ""), credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      ...options,
    });
  }

  /** A unary call of the Open Inference Protocol. */
  infer(
    request: messages.inference.ModelInferRequest.$Properties,
    options: CallOptions = {},
  ): Promise<Answer<messages.inference.ModelInferResponse>> {
    const { ModelInferRequest, ModelInferResponse } = messages.inference;
    return this.unary("/inference.GRPCInferenceService/ModelInfer", ModelInferRequest, ModelInferResponse, request, options);
  }

  unary<Q, R>(
    path: string,
    requestType: Type<Q, unknown>,
    responseType: Type<never, R>,
    request: Q,
    options: CallOptions = {},
  ): Promise<Answer<R>> {
    return this.raw(path, Buffer.from(requestType.encode(request).finish()), options).then((answer) => ({
      ...answer,
      message: answer.message && responseType.decode(answer.message),
    }));
  }

  raw(path: string, bytes: Buffer, { metadata = {}, signal, ...options }: CallOptions = {}): Promise<Answer<Buffer>> {
    return new Promise((resolve) => {
      let message: Buffer | undefined;
      const sent = new grpc.Metadata();
      for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
      const call = this.client.makeUnaryRequest(
        path,
        (x: Buffer) => x,
        (x) => x,
        bytes,
        sent,
        options,
        (_error, value) => {
          message = value;
        },
      );
      signal?.addEventListener("abort", () => call.cancel());
      call.on("status", ({ code, details, metadata: trailers }) => {
        // The callback comes after the status.
        setImmediate(() => resolve({ code, details, message, trailers }));
      });
    });
  }

  stream(path: string, metadata: Record<string, string> = {}, options: grpc.CallOptions = {}): grpc.ClientDuplexStream<Buffer, Buffer> {
    const sent = new grpc.Metadata();
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
    const call = this.client.makeBidiStreamRequest(
      path,
      (x: Buffer) => x,
      (x) => x,
      sent,
      options,
    );
    call.on("error", () => undefined);
    return call;
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

export interface CallOptions extends grpc.CallOptions {
  readonly metadata?: Record<string, string>;
  readonly signal?: AbortSignal;
}

/** A float tensor as raw bytes. */
export function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

export { grpc, messages };
