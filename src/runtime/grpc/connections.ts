import type { ServerHttp2Session } from "node:http2";
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

/** A connection that speaks HTTP/2. */
interface Speaking {
  /** Calls that are open. */
  calls: number;
  /** Nothing moved on it for a while since the end began. */
  isSilent: boolean;
}

/** The connections of a gRPC server, of which grpc-js ends only those that speak HTTP/2, and waits for their clients to do the same. */
export class GrpcConnections {
  readonly #all = new Set<Socket>();
  readonly #speaking = new Map<ServerHttp2Session, Speaking>();
  #isWatching = false;
  #isEnding = false;

  /** Knows those of a server that has just begun to listen. */
  watch(server: Server): void {
    const { http2Servers } = server as unknown as Listening;
    for (const listener of http2Servers?.keys() ?? []) {
      this.#isWatching = true;
      listener.on("connection", (socket: Socket) => {
        this.#all.add(socket);
        socket.once("close", () => this.#all.delete(socket));
      });
      listener.on("session", (session: ServerHttp2Session) => {
        this.#keep(session);
        // Of a connection that was in its handshake when the others were told.
        if (this.#isEnding) {
          session.close();
          session.setTimeout(silentMs);
        }
      });
    }
  }

  #keep(session: ServerHttp2Session): void {
    const speaking: Speaking = { calls: 0, isSilent: false };
    const callEnded = (): void => {
      speaking.calls -= 1;
      if (!this.#isEnding) return;
      // The end of its answer is still to be sent.
      speaking.isSilent = false;
      session.setTimeout(silentMs);
    };
    this.#speaking.set(session, speaking);
    session.once("close", () => this.#speaking.delete(session));
    session.on("timeout", () => {
      speaking.isSilent = true;
    });
    session.on("stream", (stream) => {
      speaking.calls += 1;
      stream.once("close", callEnded);
    });
  }

  /** Resolves when calls have ended on all connections, and those that are left have been silent for a second. The server shuts down already. */
  async silent(): Promise<void> {
    this.#isEnding = true;
    for (const session of this.#speaking.keys()) session.setTimeout(silentMs);
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

  /**
   * HTTP/2 ends a connection when its last stream is closed, and all of it is sent; but where half of a call's head was said it stays open for the other
   * half.
   */
  get #areCalled(): boolean {
    for (const [session, { calls, isSilent }] of this.#speaking) if (!session.destroyed && (calls > 0 || !isSilent)) return true;
    return false;
  }
}
