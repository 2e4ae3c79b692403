import { createServer, type AddressInfo, type Socket } from "node:net";

/** What is done with the socket of each request, as soon as something of it came. */
export type Misbehave = (socket: Socket, request: number) => void;

/** A server that is none: it writes to its sockets whatever a test wants. */
export interface RawServer extends AsyncDisposable {
  readonly url: string;
  /** How many requests there were. */
  readonly requests: () => number;
  /** Connections that are open. */
  readonly open: ReadonlySet<Socket>;
}

export async function startRawServer(misbehave: Misbehave): Promise<RawServer> {
  const open = new Set<Socket>();
  let requests = 0;
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket)).on("error", () => undefined);
    socket.on("data", (bytes) => {
      if (/^(GET|POST) /.test(bytes.toString("latin1", 0, 5))) misbehave(socket, requests++);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The head of an answer. */
export function head(status: string, ...headers: readonly string[]): string {
  return [`HTTP/1.1 ${status}`, ...headers, "\r\n"].join("\r\n");
}

/** An answer that is whole. */
export function whole(status: string, type: string, body: string | Uint8Array, ...headers: readonly string[]): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([Buffer.from(head(status, `content-type: ${type}`, `content-length: ${bytes.byteLength}`, ...headers)), bytes]);
}

/** Writes something again and again behind what comes first, for as long as somebody is there. */
export function repeat(socket: Socket, text: string, first = ""): void {
  socket.write(first);
  const timer = setInterval(() => socket.write(text), 5);
  socket.on("close", () => clearInterval(timer));
}

/** Writes as fast as it is taken, behind what comes first. */
export function flood(socket: Socket, text: string, first = ""): void {
  socket.write(first);
  const write = (): void => {
    while (socket.writable && socket.write(text));
  };
  socket.on("drain", write);
  write();
}
