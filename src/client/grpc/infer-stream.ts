import type { ClientDuplexStream } from "@grpc/grpc-js";
import { ServableError } from "../../errors.ts";
import type { InferRequest } from "../../protocol/inference.ts";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import { writeInferRequest } from "../../protocol/grpc/infer-request.ts";
import type { CallClock } from "../call-clock.ts";
import type { CallOptions } from "../options.ts";
import { asBuffer, type Connection } from "./connection.ts";
import { grpcFailure, streamedFailure } from "./failure.ts";

/** One reply of a stream: a response as it came, or why there is none. */
export type StreamedReply =
  | { readonly id: string; readonly message: inference.ModelInferResponse.$Properties; readonly error?: undefined }
  | { readonly id: string; readonly message?: undefined; readonly error: ServableError };

/** Sends requests over one stream, no faster than they are taken, and gives its replies as they come. Leaving the loop ends it. */
export async function* inferStream(
  connection: Connection,
  requests: AsyncIterable<InferRequest>,
  clock: CallClock,
  options: CallOptions,
): AsyncGenerator<StreamedReply> {
  let call: ClientDuplexStream<Buffer, Buffer> | undefined;
  const source = requests[Symbol.asyncIterator]();
  // What the source of requests threw no reply can tell of.
  const sending: { isDone: boolean; failed?: { readonly thrown: unknown } } = { isDone: false };
  try {
    const opened = await connection.stream("ModelStreamInfer", clock, options);
    const { messages } = opened.packages;
    const { ModelInferRequest, ModelStreamInferResponse } = messages.inference;
    const open = (call = opened.call);
    const encode = (request: InferRequest): Buffer => asBuffer(ModelInferRequest.encode(writeInferRequest(request)).finish());
    void sendAll(open, source, encode, clock.signal).then(
      (all) => (sending.isDone = all),
      (thrown: unknown) => {
        sending.failed = { thrown };
        open.cancel();
      },
    );
    clock.arm();
    for await (const bytes of open) {
      clock.disarm();
      const reply = ModelStreamInferResponse.decode(asBuffer(bytes as Uint8Array));
      const message = reply.inferResponse ?? {};
      const id = message.id ?? "";
      if (reply.errorMessage === "") yield { id, message };
      else yield { id, error: streamedFailure(reply.errorMessage, options.requestId) };
      clock.arm();
    }
    // That there was room for the last request may be told of together with the end.
    if (!sending.isDone) await new Promise((resolve) => void setImmediate(resolve));
    if (!sending.isDone) throw new ServableError("unavailable", `${connection.origin} ended the stream before all requests were sent.`);
  } catch (thrown) {
    if (sending.failed !== undefined) throw sending.failed.thrown;
    throw clock.error ?? grpcFailure(thrown, connection.origin, options.requestId);
  } finally {
    clock.close();
    call?.cancel();
    call?.on("error", () => undefined);
    // It may wait for ever for a request that nobody takes any more; what it throws on that occasion belongs to nobody.
    void (async () => source.return?.())().catch(() => undefined);
  }
}

/** @returns whether there was somebody to take all of them */
async function sendAll(
  call: ClientDuplexStream<Buffer, Buffer>,
  requests: AsyncIterator<InferRequest>,
  encode: (request: InferRequest) => Buffer,
  signal: AbortSignal,
): Promise<boolean> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    if (signal.aborted || call.destroyed) return false;
    if (!call.write(encode(next.value))) await untilRoom(call);
  }
  call.end();
  return true;
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
