import type { Server } from "node:http";
import { whenEnded } from "./answer-end.ts";

/** Counts answers that are not yet sent to their end: what a stop waits for when the engine has long finished with them. */
export class OpenAnswers {
  #open = 0;
  #onFlushed: (() => void) | undefined;

  /** Counts the answers of a server from now on. */
  watch(server: Server): void {
    const ended = (): void => {
      this.#open -= 1;
      if (this.#open === 0) this.#onFlushed?.();
    };
    server.on("request", (_message, response) => {
      this.#open += 1;
      whenEnded(response, ended);
    });
  }

  /** Resolves when every answer is sent or its client gone, at the latest after `timeoutMs`. */
  flushed(timeoutMs: number): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onFlushed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
