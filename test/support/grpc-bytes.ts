/** Calls over gRPC byte by byte, for tests of what is only half there. */
import { once } from "node:events";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { until } from "./serving.ts";

/** A message (of less than 256 bytes) as it goes over the wire. */
export function frameOf(message: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(0, 0, 0, 0, message.length), message]);
}

/** A call of which each byte is in the test's hands. */
export interface ByteCall {
  readonly stream: ClientHttp2Stream;
  /** How it ended: a number, as text; or why it broke off. */
  readonly status: Promise<string>;
}

/** A connection for such calls. */
export interface ByteSession extends Disposable {
  call(path: string): ByteCall;
  /** Resolves when the server has answered all that came before. */
  ping(): Promise<void>;
  /** Resolves when all is in the system's hands. */
  sent(): Promise<void>;
}

/** Connects, and waits until the server has heard of it. */
export async function openSession(port: number): Promise<ByteSession> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  const ping = (): Promise<void> =>
    new Promise((resolve, reject) => {
      // Before it is connected it is given up at once.
      session.ping((error: Error | null) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  await once(session, "remoteSettings");
  return {
    call: (path) => callOn(session, path),
    ping,
    sent: () => until(() => session.state.outboundQueueSize === 0 && session.socket.writableLength === 0),
    [Symbol.dispose]: () => {
      session.destroy();
    },
  };
}

function callOn(session: ClientHttp2Session, path: string): ByteCall {
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  return { stream, status: grpcStatus(stream) };
}

/** The status with which a call ends, which is among the headers where there is no answer. */
function grpcStatus(stream: ClientHttp2Stream): Promise<string> {
  let status = "none";
  const read = (headers: Readonly<Record<string, unknown>>): void => {
    const { "grpc-status": told } = headers;
    if (typeof told === "string" || typeof told === "number") status = String(told);
  };
  stream.on("response", read);
  stream.on("trailers", read);
  stream.on("error", (thrown) => (status = thrown.message));
  stream.resume();
  return new Promise((resolve) => {
    stream.once("close", () => {
      resolve(status);
    });
  });
}
