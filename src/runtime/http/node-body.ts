import type { IncomingMessage, ServerResponse } from "node:http";
import { ServableError } from "../../errors.ts";
import type { AbortReading, BodySource } from "./call.ts";
import { tooLarge } from "./exchange.ts";

/** Makes one piece of several. */
export type JoinParts = (parts: readonly Uint8Array[], size: number) => Uint8Array;

const concat: JoinParts = (parts, size) => Buffer.concat(parts, size);

/** Reads the body of a Node request, bounded, with no copy where it came in one piece. */
export class NodeBody implements BodySource {
  readonly #message: IncomingMessage;
  readonly #join: JoinParts;

  constructor(message: IncomingMessage, join: JoinParts = concat) {
    this.#message = message;
    this.#join = join;
  }

  chunks(): AsyncIterable<Uint8Array> {
    return readChunks(this.#message);
  }

  whole(maxBytes: number, done: (body: Uint8Array) => void, failed: (error: unknown) => void): AbortReading {
    const message = this.#message;
    let first: Uint8Array | undefined;
    let all: Uint8Array[] | undefined;
    let size = 0;
    let settled = false;
    // After a failure what is still coming is thrown away as it comes, so that the sender gets to read the answer.
    const fail = (error: ServableError): void => {
      if (settled) return;
      settled = true;
      first = all = undefined;
      failed(error);
    };
    message.on("data", (part: Uint8Array) => {
      if (settled) return;
      size += part.byteLength;
      if (size > maxBytes) fail(tooLarge(maxBytes));
      else if (first === undefined) first = part;
      else (all ??= [first]).push(part);
    });
    message.on("end", () => {
      if (settled) return;
      settled = true;
      done(all === undefined ? (first ?? empty) : this.#join(all, size));
    });
    message.on("close", () => {
      if (!settled) fail(brokenOff());
    });
    if (message.destroyed) fail(brokenOff());
    return fail;
  }
}

const empty = new Uint8Array();

const restMs = 5_000;
/** How much of a body is thrown away that no service has asked for, such as a stranger's. */
export const restBytes: number = 16 * 1024 * 1024;
/** What a sender may still send after its answer, at least: as much may be under way already. */
const leastRestBytes = 1024 * 1024;

/** How much of a body is thrown away where a service takes so much of one. */
export function restBytesOf(maxBodyBytes: number): number {
  return Math.max(maxBodyBytes, leastRestBytes);
}

/** What is to become of the rest of a body. */
export interface Rest {
  /** The answer that its sender is to read. */
  readonly response: ServerResponse;
  /** How much more may come. */
  readonly maxBytes: number;
  /** The connection is closed after the answer, which then waits for the rest. @default false */
  readonly last?: boolean | undefined;
  /** How long it may come, from when it is the answer's turn on its connection. @default 5000 */
  readonly maxMs?: number | undefined;
}

/**
 * Throws away what still comes of a body when the answer is made, so that the sender gets to read that; within bounds, since a
 * sender may never end. Beyond them the connection is cut.
 *
 * @returns whether more may come
 */
export function discardRest(message: IncomingMessage, { response, maxBytes, last = false, maxMs = restMs }: Rest): boolean {
  if (message.complete || message.readableEnded || message.destroyed || !hasBody(message)) return false;
  if (last) endBehind(message, response);
  const cut = (): void => {
    message.socket.destroy();
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const startClock = (): void => {
    if (!message.closed) timer = setTimeout(cut, maxMs).unref();
  };
  // Behind other answers nobody can have read it yet, and with the connection those would be cut.
  if (response.socket === null) response.once("socket", startClock);
  else startClock();
  let rest = maxBytes;
  message.on("data", (part: Uint8Array) => {
    rest -= part.byteLength;
    if (rest < 0) cut();
  });
  message.once("close", () => {
    clearTimeout(timer);
  });
  return true;
}

/**
 * Has an answer end when the body of its request has come. Node closes the connection at the end of the last answer, and the system then resets one on
 * which more comes, which takes an answer away from a client that has not read it yet (RFC 9112, section 9.6).
 */
function endBehind(message: IncomingMessage, response: ServerResponse): void {
  const end = response.end.bind(response);
  response.end = ((body?: unknown) => {
    response.flushHeaders();
    if (typeof body === "string" || body instanceof Uint8Array) response.write(body);
    message.once("close", () => end());
    return response;
  }) as typeof response.end;
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
