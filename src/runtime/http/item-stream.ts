import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { discardRest } from "./node-body.ts";

/** What a stream of an answer needs to know of it. */
export interface StreamAnswered {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  /** How much of a body that was not read is thrown away. */
  readonly maxRestBytes: number;
}

/**
 * The items of an answer, one of them made ahead. Where they fail before their first byte the stream does, and the failure can have an answer of its
 * own; later it ends, and in place of the answer's end its connection is cut: what was made before gets out, and the client sees that it is not all.
 */
export class ItemStream extends Readable {
  readonly #items: AsyncIterator<string | Uint8Array>;
  readonly #answered: StreamAnswered;
  #isAsking = false;
  #hasBegun = false;

  constructor(items: AsyncIterable<string | Uint8Array>, answered: StreamAnswered) {
    super({ highWaterMark: 1 });
    this.#items = items[Symbol.asyncIterator]();
    this.#answered = answered;
  }

  override _read(): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    void this.#pull();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // It ends when it has made what it was asked for, which nobody waits for; what goes wrong then is nobody's any more.
    this.#items.return?.().catch(() => undefined);
    done(error);
  }

  /** Never rejects. */
  async #pull(): Promise<void> {
    try {
      for (;;) {
        const next = await this.#items.next();
        if (this.destroyed) return;
        if (next.done === true) {
          this.push(null);
          return;
        }
        this.#hasBegun ||= next.value.length > 0;
        if (!this.push(next.value)) break;
      }
      this.#isAsking = false;
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    if (this.destroyed) return;
    if (!this.#hasBegun) {
      this.destroy(thrown as Error);
      return;
    }
    breakOffAtEnd(this.#answered);
    this.push(null);
  }
}

/** Has the end of an answer cut its connection. */
function breakOffAtEnd({ message, response, maxRestBytes }: StreamAnswered): void {
  response.end = ((body?: unknown) => {
    if (typeof body === "string" || body instanceof Uint8Array) response.write(body);
    if (response.socket === null) {
      // Behind another answer: what it has is written when its turn comes.
      response.once("socket", () => {
        process.nextTick(breakOff, message, response, maxRestBytes);
      });
    } else {
      breakOff(message, response, maxRestBytes);
    }
    return response;
  }) as typeof response.end;
}

/** Cuts a connection behind what was written: its client gets all of that. */
function breakOff(message: IncomingMessage, response: ServerResponse, maxRestBytes: number): void {
  const { socket } = response;
  // Without one it is over; HTTP/2 and `inject` have one that is not to be ended.
  if (message.httpVersionMajor !== 1 || typeof socket?.destroySoon !== "function") {
    response.destroy();
  } else if (discardRest(message, { response, maxBytes: maxRestBytes })) {
    // A connection that is closed while its client sends is reset, and what was written is lost.
    socket.end();
    message.once("close", () => {
      socket.destroySoon();
    });
  } else {
    socket.destroySoon();
  }
}
