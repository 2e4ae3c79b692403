import { ServableError } from "../../errors.ts";
import { usualStalledMs } from "../http/stalls.ts";
import type { Failure } from "./failure.ts";
import type { StreamCall } from "./host.ts";

/** What is taken more slowly than this is not taken. A large message is written as one, and nothing tells how much of it has gone. */
const leastBytesPerMs = 16;

/** The way out of a stream: no more is made than its reader takes, and nothing is written after its end. */
export class StreamReplies {
  readonly #call: StreamCall;
  #ended = false;
  #room: Promise<void> | undefined;
  readonly #stalledMs: number;
  /** Written since there was last no room. */
  #bytes = 0;

  /** @param stalledMs - for so long a client may take nothing of what is written */
  constructor(call: StreamCall, stalledMs: number = usualStalledMs) {
    this.#call = call;
    this.#stalledMs = stalledMs;
  }

  /** Whether nothing that is sent arrives any more. */
  get areOver(): boolean {
    return this.#ended || this.#call.cancelled;
  }

  /**
   * Writes a message; resolves when there is room for the next one, or the client has gone.
   *
   * @throws ServableError `cancelled` when the client takes nothing: what is made for it would wait, with its slot, for as long as the client likes
   */
  async send(bytes: Buffer): Promise<void> {
    if (this.areOver) return;
    this.#bytes += bytes.byteLength;
    if (!this.#call.write(bytes)) this.#room ??= this.#untilRoom();
    if (this.#room !== undefined) await this.#room;
  }

  #untilRoom(): Promise<void> {
    const call = this.#call;
    const limitMs = this.#stalledMs + this.#bytes / leastBytesPerMs;
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        clearTimeout(timer);
        call.off("drain", settle).off("cancelled", settle).off("close", settle);
        this.#room = undefined;
        this.#bytes = 0;
      };
      const settle = (): void => {
        forget();
        resolve();
      };
      const timer = setTimeout(() => {
        forget();
        reject(new ServableError("cancelled", `The client took nothing of the stream for ${Math.round(limitMs / 1_000)} s.`));
      }, limitMs);
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
    if (this.areOver) return;
    this.#ended = true;
    // How grpc-js is told of a status: as an error of the stream.
    this.#call.emit("error", Object.assign(new Error(failure.details), failure));
  }
}
