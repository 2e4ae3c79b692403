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
      if (!this.#settle()) this.#call.resume();
    });
  }

  /** Lets what still comes come, unread. */
  discardRest(): void {
    this.#ended = true;
    this.#call.removeAllListeners("data");
    this.#call.resume();
    this.#settle();
  }

  /** Gives who waits what there is. @returns whether nobody waits any more */
  #settle(): boolean {
    const waiting = this.#waiting;
    if (waiting === undefined) return true;
    if (this.#come.length === 0 && !this.#ended) return false;
    this.#waiting = undefined;
    waiting(this.#come.shift());
    return true;
  }
}
