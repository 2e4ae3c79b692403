import type { GrpcHost, HostedMethod, UnaryCall } from "./host.ts";
import { readMessage, writeMessage, type MessageType } from "./codec.ts";
import type { Failure } from "./failure.ts";

/** A method of one message each way. */
export interface Unary<Q, R> {
  readonly host: GrpcHost;
  readonly request: MessageType<Q, never>;
  readonly response: MessageType<unknown, R>;
  /** What a failure looks like on this wire. */
  readonly failure: (thrown: unknown, call: UnaryCall) => Failure;
  readonly answer: (message: Q, call: UnaryCall) => R | Promise<R>;
}

/** A method of one message each way, whose failures are statuses. Nothing that its handler does ends the server. */
export function unary<Q, R>({ host, request, response, failure, answer }: Unary<Q, R>): HostedMethod {
  const { compression } = host;
  const reply = async (call: UnaryCall): Promise<Buffer> => {
    const message = await answer(readMessage(request, call.request), call);
    const bytes = await compression.compress(writeMessage(response, message));
    const { metadata } = compression;
    if (metadata !== undefined) call.sendMetadata(metadata);
    return bytes;
  };
  return {
    kind: "unary",
    handle(call, callback) {
      reply(call).then(
        (bytes) => {
          callback(null, bytes);
        },
        (thrown: unknown) => {
          callback(failure(thrown, call));
        },
      );
    },
  };
}
