import type { IncomingMessage } from "node:http";
import { ServableError } from "../../errors.ts";
import { tooLarge, type BodySource } from "./exchange.ts";

/** Reads the body of a Node request, bounded, with no copy where it came in one piece. */
export function nodeBody(message: IncomingMessage): BodySource {
  return {
    whole: (maxBytes) => readWhole(message, maxBytes),
    chunks: () => readChunks(message),
  };
}

function readWhole(message: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    const settle = (): void => {
      message.off("data", onData).off("end", onEnd).off("close", onBreak).off("error", onBreak);
    };
    const onData = (part: Uint8Array): void => {
      size += part.byteLength;
      if (size > maxBytes) {
        settle();
        // What is still coming is thrown away, so that the sender gets to read the answer.
        message.resume();
        reject(tooLarge(maxBytes));
        return;
      }
      parts.push(part);
    };
    const onEnd = (): void => {
      settle();
      const [only] = parts;
      resolve(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts, size));
    };
    const onBreak = (): void => {
      settle();
      reject(brokenOff());
    };
    message.on("data", onData).on("end", onEnd).on("close", onBreak).on("error", onBreak);
    if (message.readableEnded || message.destroyed) onBreak();
  });
}

async function* readChunks(message: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of message as AsyncIterable<Uint8Array>) yield chunk;
  } catch {
    throw brokenOff();
  }
}

function brokenOff(): ServableError {
  return new ServableError("invalid_request", "The body broke off before its end.");
}
