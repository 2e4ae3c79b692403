import type { Failure } from "./failure.ts";
import type { StreamCall } from "./host.ts";

/** The way out of a stream: no more is made than its reader takes, and nothing is written after its end. */
export class StreamReplies {
  readonly #call: StreamCall;
  #ended = false;
  #room: Promise<void> | undefined;

  constructor(call: StreamCall) {
    this.#call = call;
  }

  /** Writes a message; resolves when there is room for the next one, or the client has gone. */
  async send(bytes: Buffer): Promise<void> {
    if (this.#ended || this.#call.cancelled) return;
    if (!this.#call.write(bytes)) this.#room ??= this.#untilRoom();
    if (this.#room !== undefined) await this.#room;
  }

  #untilRoom(): Promise<void> {
    const call = this.#call;
    return new Promise((resolve) => {
      const settle = (): void => {
        call.off("drain", settle).off("cancelled", settle).off("close", settle);
        this.#room = undefined;
        resolve();
      };
      call.on("drain", settle).on("cancelled", settle).on("close", settle);
    });
  }

  /** Ends the stream well. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.end();
  }

  /** Ends the stream with a status. */
  fail(failure: Failure): void {
    if (this.#ended || this.#call.cancelled) return;
    this.#ended = true;
    // How grpc-js is told of a status: as an error of the stream.
    this.#call.emit("error", Object.assign(new Error(failure.details), failure));
  }
}
