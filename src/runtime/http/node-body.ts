import type { IncomingMessage } from "node:http";
import { ServableError } from "../../errors.ts";
import { tooLarge, type BodySource } from "./exchange.ts";

/** Reads the body of a Node request, bounded, with no copy where it came in one piece. */
export function nodeBody(message: IncomingMessage): BodySource {
  return {
    whole: (maxBytes, onStart) => readWhole(message, maxBytes, onStart),
    chunks: () => readChunks(message),
  };
}

function readWhole(
  message: IncomingMessage,
  maxBytes: number,
  onStart?: (abort: (error: ServableError) => void) => void,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    // After a failure what is still coming is thrown away as it comes, so that the sender gets to read the answer.
    let failed = false;
    const fail = (error: ServableError): void => {
      failed = true;
      parts.length = 0;
      reject(error);
    };
    onStart?.(fail);
    message.on("data", (part: Uint8Array) => {
      size += part.byteLength;
      if (failed) return;
      if (size > maxBytes) fail(tooLarge(maxBytes));
      else parts.push(part);
    });
    message.on("end", () => {
      const [only] = parts;
      resolve(parts.length === 1 && only !== undefined ? only : Buffer.concat(parts));
    });
    message.on("close", () => {
      if (!message.complete) fail(brokenOff());
    });
    if (message.destroyed && !message.complete) fail(brokenOff());
  });
}

const restMs = 5_000;

/**
 * Throws away what still comes of a body when the answer is made, so that the sender gets to read that; within bounds, since a
 * sender may never end. Beyond them the connection is cut.
 *
 * @param maxBytes - how much more may come, within 5 s
 */
export function discardRest(message: IncomingMessage, maxBytes: number): void {
  if (message.complete || message.readableEnded || message.destroyed || !hasBody(message)) return;
  const cut = (): void => {
    message.socket.destroy();
  };
  const timer = setTimeout(cut, restMs).unref();
  let rest = maxBytes;
  message.on("data", (part: Uint8Array) => {
    rest -= part.byteLength;
    if (rest < 0) cut();
  });
  message.once("close", () => {
    clearTimeout(timer);
  });
}

/** A message without one is not yet complete either, when its answer is made at once. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

async function* readChunks(message: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    // A service may stop reading before the end, and its answer must still get out: destroying the message would destroy the socket.
    for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) yield chunk;
  } catch {
    throw brokenOff();
  } finally {
    message.resume();
  }
}

function brokenOff(): ServableError {
  return new ServableError("invalid_request", "The body broke off before its end.");
}
