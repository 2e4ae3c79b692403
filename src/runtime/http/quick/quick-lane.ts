import { channel } from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import { Server as TlsServer } from "node:tls";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { whenEnded } from "../answer-end.ts";
import { takeRequests } from "../request-listeners.ts";
import { usualStalledMs } from "../stalls.ts";
import type { QuickCall } from "./quick-call.ts";
import { QuickConnection, type QuickHost } from "./quick-connection.ts";

/** What a lane does with its requests, and whom it tells of them. */
export interface QuickLaneOptions {
  /** Begins a call, or leaves the request to Node: false. */
  readonly take: (call: QuickCall) => boolean;
  /** A call is to be answered. */
  readonly began: () => void;
  /** Its answer is sent to its end, or will never be. */
  readonly ended: () => void;
}

type ConnectionListener = (this: Server, socket: Socket) => void;

const secondMs = 1_000;
/** What is not yet asked by then has Node's time limits. */
const newSeconds = 2;
const requestStarts = channel("http.server.request.start");

/**
 * The connections of a server on which requests come whole, one after another, and in HTTP's simple form: nearly all that clients of services send
 * does. To read and to answer these takes little of what Node has for all others, which is half of what a small request costs. From its first
 * request on that is not as simple, a connection is Node's.
 */
export class QuickLane implements QuickHost {
  now = 0;
  readonly unreadMs: number;
  readonly keepLines: string;
  readonly #idleMs: number;
  #dateLine = "";
  #second = 0;
  readonly #options: QuickLaneOptions;
  readonly #server: Server;
  readonly #nodes: readonly ConnectionListener[];
  readonly #connections = new Set<QuickConnection>();
  /** Calls whose requests Node is about to read. */
  readonly #moving = new Map<Socket, QuickCall>();

  /** Takes the connections that come from now on. @param server - its listeners for connections are Node's; those for requests are there already */
  constructor(server: Server, options: QuickLaneOptions) {
    this.#options = options;
    this.#server = server;
    this.#idleMs = server.keepAliveTimeout;
    this.unreadMs = this.#idleMs > 0 ? this.#idleMs : usualStalledMs;
    const timeout = this.#idleMs > 0 ? `Keep-Alive: timeout=${Math.floor(this.#idleMs / secondMs)}\r\n` : "";
    this.keepLines = `Connection: keep-alive\r\n${timeout}`;
    const event = server instanceof TlsServer ? "secureConnection" : "connection";
    // Node tells the kind of a listener nowhere else.
    this.#nodes = server.listeners(event) as ConnectionListener[];
    server.removeAllListeners(event);
    server.on(event, (socket: Socket) => {
      if (isWatched(server)) this.#giveToNode(socket);
      else this.#connections.add(new QuickConnection(socket, this));
    });
    takeRequests(server, (message, response) => this.#adopt(message, response));
    const timer = setInterval(() => {
      this.#tick();
    }, secondMs).unref();
    server.once("close", () => {
      clearInterval(timer);
    });
  }

  get dateLine(): string {
    const second = Math.floor(Date.now() / secondMs);
    if (second !== this.#second) {
      this.#second = second;
      this.#dateLine = `Date: ${new Date(second * secondMs).toUTCString()}\r\n`;
    }
    return this.#dateLine;
  }

  take(call: QuickCall): boolean {
    this.#options.began();
    const isTaken = this.#options.take(call);
    if (!isTaken) this.#options.ended();
    return isTaken;
  }

  answered(): void {
    this.#options.ended();
  }

  gone(connection: QuickConnection): void {
    this.#connections.delete(connection);
  }

  handOver(connection: QuickConnection, call: QuickCall | undefined, unread: readonly Uint8Array[]): void {
    const { socket } = connection;
    this.#connections.delete(connection);
    if (call !== undefined) this.#move(socket, call);
    if (socket.destroyed) return;
    socket.pause();
    for (const bytes of unread.toReversed()) socket.unshift(bytes);
    this.#giveToNode(socket);
    socket.resume();
  }

  /** Tells a call on its way of Node's request and response. @returns whether there is one */
  #adopt(message: IncomingMessage, response: ServerResponse): boolean {
    const call = this.#moving.get(message.socket);
    if (call === undefined) return false;
    this.#moving.delete(message.socket);
    whenEnded(response, this.#options.ended);
    call.adopt(message, response);
    return true;
  }

  /** Closes the connections on which nothing is asked. */
  closeIdle(): void {
    for (const { isIdle, socket } of this.#connections) if (isIdle) socket.destroy();
  }

  #move(socket: Socket, call: QuickCall): void {
    this.#moving.set(socket, call);
    socket.once("close", () => {
      if (this.#moving.get(socket) !== call) return;
      this.#moving.delete(socket);
      this.#options.ended();
      call.gone();
    });
  }

  #giveToNode(socket: Socket): void {
    for (const listener of this.#nodes) listener.call(this.#server, socket);
  }

  #tick(): void {
    this.now += 1;
    for (const connection of this.#connections) {
      const seconds = this.now - connection.activeAt;
      if (connection.isNew) {
        if (seconds >= newSeconds) connection.handOver();
      } else if (connection.isIdle && this.#idleMs > 0 && seconds > this.#idleMs / secondMs) {
        connection.socket.destroy();
      }
    }
  }
}

/** Whether somebody (tracing, mostly) follows the requests of Node's servers, or of this one, and would miss those that Node does not see. */
function isWatched(server: Server): boolean {
  return requestStarts.hasSubscribers || server.emit !== EventEmitter.prototype.emit;
}
