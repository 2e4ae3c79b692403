import type { Http2Session } from "node:http2";
import type { Server as NetServer, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Server } from "@grpc/grpc-js";

/** What is left to a client that does not hang up, or has not yet said what it wants. */
const silentMs = 1_000;
const lookMs = 50;

/** What grpc-js keeps of its listeners, and tells nowhere else. */
interface Listening {
  readonly http2Servers?: ReadonlyMap<NetServer, unknown>;
}

/** The connections of a gRPC server, of which grpc-js ends only those that speak HTTP/2, and waits for their clients to do the same. */
export class GrpcConnections {
  readonly #all = new Set<Socket>();
  /** Those that are through their TLS handshake. */
  readonly #speaking = new Set<Socket>();
  #isWatching = false;
  #isEnding = false;

  /** Knows those of a server that has just begun to listen. */
  watch(server: Server, isSecure: boolean): void {
    const { http2Servers } = server as unknown as Listening;
    for (const listener of http2Servers?.keys() ?? []) {
      this.#isWatching = true;
      listener.on("connection", (socket: Socket) => {
        keep(this.#all, socket);
      });
      listener.on(isSecure ? "secureConnection" : "connection", (socket: Socket) => {
        keep(this.#speaking, socket);
      });
      listener.on("session", (session: Http2Session) => {
        // Of a connection that was in its handshake when the others were told.
        if (this.#isEnding) session.close();
      });
    }
  }

  /** Resolves when calls have ended on all connections, and those that are left have been silent for a second. The server shuts down already. */
  async silent(): Promise<void> {
    this.#isEnding = true;
    // What is not known can't be said to be silent.
    if (!this.#isWatching) return new Promise(() => undefined);
    let since = performance.now();
    while (this.#all.size > 0 && performance.now() - since < silentMs) {
      await pause(lookMs, undefined, { ref: false });
      if (this.#areCalled) since = performance.now();
    }
  }

  /** Ends every connection as it is. */
  cut(): void {
    for (const socket of this.#all) socket.destroy();
  }

  /** HTTP/2 ends a connection when its last stream is closed, and all of it is sent. */
  get #areCalled(): boolean {
    for (const socket of this.#speaking) if (!socket.writableEnded && !socket.destroyed) return true;
    return false;
  }
}

function keep(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
}
