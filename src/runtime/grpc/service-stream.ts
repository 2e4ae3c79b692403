import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "../../engine/engine.ts";
import { ServableError } from "../../errors.ts";
import type { GrpcJs } from "../../protocol/grpc/packages.ts";
import { stopping, type GrpcHost, type StreamCall } from "./host.ts";
import { RequestMessages } from "./request-messages.ts";
import { ServiceCall, type ServiceRequest } from "./service-call.ts";
import { StreamReplies } from "./stream-replies.ts";

/** How long a client may take for the first message, which says what it wants. */
const firstMessageMs = 30_000;

/** What the messages of a stream are. */
export interface StreamShape {
  /** What the first message asks for. @throws where it can't be read */
  head(first: Buffer): ServiceRequest;
  /** What of a message is the body. @throws where it can't be read */
  body(message: Buffer): Uint8Array;
  /** An item as a message. */
  reply(item: Uint8Array | string, mediaType: string): Buffer;
}

/** What the stream is part of. */
export interface ServiceStreamHost {
  readonly engine: Engine;
  readonly grpc: GrpcJs;
  readonly host: GrpcHost;
}

/** Runs a service whose request or answer is a stream of messages. Never rejects: a failure is the stream's status. */
export async function runServiceStream({ engine, grpc, host }: ServiceStreamHost, call: StreamCall, shape: StreamShape): Promise<void> {
  const replies = new StreamReplies(call);
  const serviceCall = new ServiceCall(engine, grpc, call);
  // What a broken connection does to the stream is told by "cancelled"; without a listener it would end the process.
  call.on("error", () => undefined);
  try {
    const messages = new RequestMessages(call);
    const { metadata } = host.compression;
    if (metadata !== undefined) call.sendMetadata(metadata);
    const first = await firstMessage(messages, host.draining);
    const head = shape.head(first);
    const definition = serviceCall.admit(head);
    const body = definition.inputStream ? lines(first, messages, serviceCall, shape) : shape.body(first);
    if (!definition.inputStream) messages.discardRest();
    await answer(await serviceCall.run(head.contentType, body), { replies, host, call, shape });
    replies.end();
  } catch (thrown) {
    replies.fail(serviceCall.fail(thrown));
  }
}

interface Way {
  readonly replies: StreamReplies;
  readonly host: GrpcHost;
  readonly call: StreamCall;
  readonly shape: StreamShape;
}

async function answer(response: Awaited<ReturnType<ServiceCall["run"]>>, { replies, host, call, shape }: Way): Promise<void> {
  const send = async (item: Uint8Array | string): Promise<void> => {
    await replies.send(await host.compression.compress(shape.reply(item, response.mediaType)));
  };
  if (response.kind === "value") {
    await send(response.body);
    return;
  }
  for await (const item of response.items) {
    await send(item);
    // Leaving the loop is what tells the service that nobody reads on.
    if (call.cancelled) return;
  }
}

async function firstMessage(messages: RequestMessages, draining: AbortSignal): Promise<Buffer> {
  const done = new AbortController();
  const late = pause(firstMessageMs, undefined, { signal: done.signal }).then(() => {
    throw new ServableError("request_timeout", `The first message did not arrive within ${firstMessageMs} ms.`);
  });
  const drained = new Promise<never>((_, reject) => {
    const stop = (): void => reject(stopping());
    if (draining.aborted) stop();
    else draining.addEventListener("abort", stop, { signal: done.signal });
  });
  late.catch(() => undefined);
  try {
    const first = await Promise.race([messages.next(), late, drained]);
    if (first === undefined) throw new ServableError("invalid_request", "The stream ended before its first message.");
    return first;
  } finally {
    done.abort();
  }
}

/** The messages as newline-delimited JSON, which is what services that take a stream read. */
async function* lines(first: Buffer, messages: RequestMessages, call: ServiceCall, shape: StreamShape): AsyncGenerator<Uint8Array> {
  for (let message: Buffer | undefined = first; message !== undefined; message = await messages.next()) {
    const body = shape.body(message);
    call.checkSize(body);
    if (body.byteLength > 0) yield body;
  }
}
