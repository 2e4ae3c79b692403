import { createServer, type Http2Server, type OutgoingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";

/** What is done with the stream of each call. */
export type Misbehave = (stream: ServerHttp2Stream, call: number) => void;

/** A gRPC server made of nothing but HTTP/2, which sends whatever a test wants. */
export interface RawGrpcServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

export async function startRawGrpcServer(misbehave: Misbehave, port = 0): Promise<RawGrpcServer> {
  const sessions = new Set<ServerHttp2Session>();
  let calls = 0;
  const server: Http2Server = createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined).on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    misbehave(stream, calls++);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `grpc://127.0.0.1:${bound}`,
    port: bound,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const type = { ":status": 200, "content-type": "application/grpc" };

/** Begins an answer. */
export function begin(stream: ServerHttp2Stream, ...frames: readonly Uint8Array[]): void {
  stream.respond(type);
  for (const one of frames) stream.write(one);
}

/** A whole answer: messages, and how the call ended. */
export function finish(
  stream: ServerHttp2Stream,
  frames: readonly Uint8Array[],
  trailers: OutgoingHttpHeaders = { "grpc-status": "0" },
  headers: OutgoingHttpHeaders = {},
): void {
  stream.respond({ ...type, ...headers }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  for (const one of frames) stream.write(one);
  stream.end();
}

/** One message with its prefix, which may lie. */
export function frame(message: Uint8Array, { compressed = 0, length = message.byteLength } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = compressed;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}
