import { STATUS_CODES, validateHeaderValue } from "node:http";
import type { Socket } from "node:net";
import { lengthOf, type AnswerBody } from "../answer-body.ts";
import { QuickCall, type CallConnection } from "./quick-call.ts";
import { WholeRequestReader } from "./whole-request.ts";

/** What connections need of the lane that they belong to. */
export interface QuickHost {
  /** Counts the seconds. */
  readonly now: number;
  /** For how long a client may take nothing of an answer, in milliseconds. */
  readonly unreadMs: number;
  /** The time, as a line of a head. */
  readonly dateLine: string;
  /** That the connection is kept, and how long, as lines of a head. */
  readonly keepLines: string;
  /** Begins a call, or leaves the request to Node: false. */
  take(call: QuickCall): boolean;
  /** The answer to a call is sent to its end, or will never be. */
  answered(): void;
  /** From here on the connection is Node's. @param call - the one at hand @param unread - what Node has to read first: that call, for one */
  handOver(connection: QuickConnection, call: QuickCall | undefined, unread: readonly Uint8Array[]): void;
  /** The connection has ended, with what was at hand on it. */
  gone(connection: QuickConnection): void;
}

/** A connection on which requests come whole, and one after another. With the first one that does not it becomes Node's, and stays that. */
export class QuickConnection implements CallConnection {
  readonly socket: Socket;
  /** When something last happened on it, in its host's seconds. */
  activeAt: number;
  readonly #host: QuickHost;
  readonly #reader = new WholeRequestReader();
  #isNew = true;
  #call: QuickCall | undefined;
  #isReleased = false;

  constructor(socket: Socket, host: QuickHost) {
    this.socket = socket;
    this.#host = host;
    this.activeAt = host.now;
    socket.on("data", this.#read).on("end", this.#end).on("close", this.#close).on("error", ignore);
  }

  /** Whether all that was asked on it is answered. */
  get isIdle(): boolean {
    return this.#call === undefined && this.socket.writableLength === 0;
  }

  /** Whether nothing was ever said on it. */
  get isNew(): boolean {
    return this.#isNew;
  }

  send(status: number, head: readonly string[], body: AnswerBody, last: boolean): void {
    const { socket } = this;
    const host = this.#host;
    if (socket.destroyed || socket.writableEnded) return;
    const length = lengthOf(body);
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "unknown"}\r\n`;
    for (let index = 0; index < head.length; index += 2) {
      const name = head[index] ?? "";
      const value = head[index + 1] ?? "";
      validateHeaderValue(name, value);
      text += `${name}: ${value}\r\n`;
    }
    text += `content-length: ${length}\r\n${host.dateLine}${last ? "" : host.keepLines}\r\n`;
    this.#call = undefined;
    this.activeAt = host.now;
    if (typeof body === "string") {
      // ASCII is the same in both, and need not be converted.
      socket.write(text + body, length === body.length ? "latin1" : "utf8");
    } else {
      socket.cork();
      socket.write(text, "latin1");
      for (const part of body instanceof Uint8Array ? [body] : body) socket.write(part);
      socket.uncork();
    }
    if (socket.writableLength === 0) {
      host.answered();
    } else {
      socket.setTimeout(host.unreadMs, this.#cut);
      socket.write("", this.#sent);
    }
    if (last) socket.destroySoon();
  }

  /** Makes the connection Node's, which reads the request at hand once more. @param behind - what came behind that */
  handOver(behind?: Uint8Array): void {
    const call = this.#call;
    const unread = [call && againFor(call), behind].filter((bytes) => bytes !== undefined);
    this.#release();
    call?.leaveConnection();
    this.#host.handOver(this, call, unread);
  }

  readonly #sent = (): void => {
    this.#host.answered();
    // Node has a time limit of its own on it.
    if (this.#isReleased) return;
    this.socket.setTimeout(0, this.#cut);
    this.activeAt = this.#host.now;
  };

  readonly #cut = (): void => {
    this.socket.destroy();
  };

  #release(): void {
    this.#call = undefined;
    this.#isReleased = true;
    this.socket.setTimeout(0, this.#cut);
    this.socket.off("data", this.#read).off("end", this.#end).off("close", this.#close).off("error", ignore);
  }

  readonly #read = (bytes: Buffer): void => {
    const { socket } = this;
    // Nothing can be sent behind the last answer.
    if (socket.writableEnded) return;
    this.activeAt = this.#host.now;
    this.#isNew = false;
    // A client that asks on before it has its answer, or does not read it, is Node's to hold back.
    if (this.#call === undefined && socket.writableLength === 0) {
      const request = this.#reader.read(bytes);
      if (request !== undefined) {
        const call = new QuickCall(this, request);
        this.#call = call;
        if (this.#host.take(call)) return;
        this.#call = undefined;
      }
    }
    this.handOver(bytes);
  };

  /** As Node does, which has no answer for a client that has ended its half. */
  readonly #end = (): void => {
    this.socket.end();
  };

  readonly #close = (): void => {
    const call = this.#call;
    this.#release();
    this.#host.gone(this);
    if (call === undefined) return;
    this.#host.answered();
    call.gone();
  };
}

function ignore(): void {
  // The close that follows says all.
}

/** A request for Node to read once more: its body is the service's by now, which may have given the memory away, and nobody reads it again. */
function againFor({ head: { text, length } }: QuickCall): Buffer {
  return Buffer.concat([Buffer.from(text, "latin1")], text.length + length);
}
