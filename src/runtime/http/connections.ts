import type { Server } from "node:http";
import type { Socket } from "node:net";
import { allArrived } from "../arrivals.ts";
import { whenEnded } from "./answer-end.ts";
import type { QuickCall } from "./quick/quick-call.ts";
import { QuickLane } from "./quick/quick-lane.ts";

/** What is left to a client that is in the middle of saying what it wants. */
const halfSaidMs = 1_000;

/**
 * The connections of a server, and the answers on them that are not yet sent to their end: what a stop waits for when the engine has long finished
 * with them.
 */
export class Connections {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #quick: QuickLane | undefined;
  #arrived = 0;
  #open = 0;
  #onFlushed: (() => void) | undefined;
  #onEmpty: (() => void) | undefined;

  /** Has the simple requests of a server go past Node's HTTP. @param take - begins a call, or leaves the request to Node: false */
  addQuickLane(server: Server, take: (call: QuickCall) => boolean): void {
    this.#quick = new QuickLane(server, { take, began: this.#began, ended: this.#ended });
  }

  readonly #began = (): void => {
    this.#arrived += 1;
    this.#open += 1;
  };

  readonly #ended = (): void => {
    this.#open -= 1;
    if (this.#open === 0) this.#onFlushed?.();
  };

  /** Counts those of a server from now on. */
  watch(server: Server): void {
    this.#server = server;
    server.on("request", (_message, response) => {
      this.#began();
      whenEnded(response, this.#ended);
    });
    server.on("connection", (socket: Socket) => {
      this.#arrived += 1;
      this.#sockets.add(socket);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        if (this.#sockets.size === 0) this.#onEmpty?.();
      });
    });
  }

  /** Whether every answer is sent. */
  get areFlushed(): boolean {
    return this.#open === 0;
  }

  /** Resolves when what clients had sent before is in hand; see {@link allArrived}. */
  arrived(): Promise<void> {
    return allArrived(() => this.#arrived);
  }

  /** Resolves when every answer is sent or its client gone, at the latest after `timeoutMs`. */
  flushed(timeoutMs: number): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return soon(timeoutMs, (resolve) => (this.#onFlushed = resolve));
  }

  /**
   * Closes the connections: what is on its way is looked for first, and where a request is half said, the rest and its answer are waited for, for a second
   * or `timeoutMs`, whichever is less.
   */
  async hangUp(timeoutMs: number): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    await this.arrived();
    server.closeIdleConnections();
    this.#quick?.closeIdle();
    // One on which nothing was ever said is not idle to Node, but in the middle of its first request.
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy();
    if (this.#sockets.size > 0) await soon(Math.min(timeoutMs, halfSaidMs), (resolve) => (this.#onEmpty = resolve));
    this.cut();
  }

  /** Ends every connection as it is. Node's own `closeAllConnections` knows none that is still in its TLS handshake. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function soon(timeoutMs: number, listen: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    listen(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
