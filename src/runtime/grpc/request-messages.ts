import type { StreamCall } from "./host.ts";

/** The messages that a client streams, one at a time: none is read before it is asked for. */
export class RequestMessages {
  readonly #call: StreamCall;
  readonly #come: Buffer[] = [];
  #ended = false;
  #waiting: ((message: Buffer | undefined) => void) | undefined;

  constructor(call: StreamCall) {
    this.#call = call;
    call.pause();
    call.on("data", (message: Buffer) => {
      call.pause();
      this.#come.push(message);
      this.#settle();
    });
    const end = (): void => {
      this.#ended = true;
      this.#settle();
    };
    call.on("end", end).on("cancelled", end);
  }

  /** The next message; undefined behind the last one, or where the client has gone. Asked for once at a time. */
  next(): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#settle();
      if (this.#waiting !== undefined) this.#call.resume();
    });
  }

  /** Lets what still comes come, unread. */
  discardRest(): void {
    this.#ended = true;
    this.#call.removeAllListeners("data");
    this.#call.resume();
    this.#settle();
  }

  #settle(): void {
    const waiting = this.#waiting;
    const message = this.#come.shift();
    if (waiting === undefined) {
      if (message !== undefined) this.#come.unshift(message);
      return;
    }
    if (message === undefined && !this.#ended) return;
    this.#waiting = undefined;
    waiting(message);
  }
}
