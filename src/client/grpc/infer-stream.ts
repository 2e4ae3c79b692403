import type { ClientDuplexStream } from "@grpc/grpc-js";
import { type ServableError } from "../../errors.ts";
import type { InferRequest } from "../../protocol/inference.ts";
import { writeInferRequest } from "../../protocol/grpc/infer-request.ts";
import { readInferResponse } from "../../protocol/grpc/infer-response.ts";
import type { InferResponse } from "../../protocol/inference.ts";
import type { CallClock } from "../call-clock.ts";
import type { CallOptions } from "../options.ts";
import { asBuffer, type Connection } from "./connection.ts";
import { grpcFailure, streamedFailure } from "./failure.ts";

/** One reply of a stream: a response, or why there is none. */
export type StreamedReply =
  | { readonly id: string; readonly response: InferResponse; readonly error?: undefined }
  | { readonly id: string; readonly response?: undefined; readonly error: ServableError };

/** Sends requests over one stream, no faster than they are taken, and gives its replies as they come. Leaving the loop ends it. */
export async function* inferStream(
  connection: Connection,
  requests: AsyncIterable<InferRequest>,
  clock: CallClock,
  options: CallOptions,
): AsyncGenerator<StreamedReply> {
  let call: ClientDuplexStream<Buffer, Buffer> | undefined;
  let sending: Promise<void> = Promise.resolve();
  // What the source of requests threw, which no reply can tell of.
  let source: { readonly thrown: unknown } | undefined;
  try {
    const opened = await connection.stream("ModelStreamInfer", clock, options);
    const { messages } = opened.packages;
    const { ModelInferRequest, ModelStreamInferResponse } = messages.inference;
    const open = (call = opened.call);
    const encode = (request: InferRequest): Buffer => asBuffer(ModelInferRequest.encode(writeInferRequest(request)).finish());
    sending = sendAll(open, requests, encode, clock.signal).catch((thrown: unknown) => {
      source = { thrown };
      open.cancel();
    });
    clock.arm();
    for await (const bytes of open) {
      clock.disarm();
      const reply = ModelStreamInferResponse.decode(asBuffer(bytes as Uint8Array));
      const message = reply.inferResponse ?? {};
      const id = message.id ?? "";
      if (reply.errorMessage === "") yield { id, response: readInferResponse(message) };
      else yield { id, error: streamedFailure(reply.errorMessage, options.requestId) };
      clock.arm();
    }
  } catch (thrown) {
    if (source !== undefined) throw source.thrown;
    throw clock.error ?? grpcFailure(thrown, connection.origin, options.requestId);
  } finally {
    clock.close();
    call?.cancel();
    call?.on("error", () => undefined);
    void sending;
  }
}

async function sendAll(
  call: ClientDuplexStream<Buffer, Buffer>,
  requests: AsyncIterable<InferRequest>,
  encode: (request: InferRequest) => Buffer,
  signal: AbortSignal,
): Promise<void> {
  for await (const request of requests) {
    if (signal.aborted || call.destroyed) return;
    if (!call.write(encode(request))) await untilRoom(call);
  }
  call.end();
}

function untilRoom(call: ClientDuplexStream<Buffer, Buffer>): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      call.off("drain", settle).off("close", settle).off("error", settle).off("status", settle);
      resolve();
    };
    call.on("drain", settle).on("close", settle).on("error", settle).on("status", settle);
  });
}
