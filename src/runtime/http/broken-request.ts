import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { whenEnded } from "./answer-end.ts";

/** What is wrong with something that is no request. */
export type Breakage = "late" | "head too large" | "not HTTP";

/** What is said of it. */
export interface BrokenAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const waiting = new WeakSet<Socket>();

/**
 * Answers what is no HTTP on a connection, and ends it: after the answers that are about to be sent, after those to whole requests
 * before it, of which a client may have sent several at once, and not at all in the middle of another answer, as a part of which it would be
 * taken: a stream may go on for long.
 *
 * @param thrown - what the parser says of it
 */
export function answerBroken(thrown: { readonly code?: string }, socket: Socket, answer: (breakage: Breakage) => BrokenAnswer): void {
  // A TLS handshake that failed, or took too long: nothing can be said on such a connection, and an end would wait for the handshake.
  if (!isHttp(socket)) {
    socket.destroy();
    return;
  }
  // Each further piece of it is another error.
  if (waiting.has(socket)) return;
  waiting.add(socket);
  const decide = (): void => {
    const response = answering(socket);
    if (socket.destroyed || !socket.writable || thrown.code === "ECONNRESET") {
      socket.destroy();
    } else if (response?.req.complete === true && (response.writableEnded || !response.headersSent)) {
      whenEnded(response, decide);
    } else if (response?.headersSent ?? isInBody(socket)) {
      // Of an answer, or of a body after its answer.
      socket.destroySoon();
    } else {
      const breakage = breakageOf(thrown);
      write(socket, breakage, answer(breakage));
    }
  };
  // What refuses a request without its body takes a turn at most, and is sent at the end of that.
  setImmediate(() => setImmediate(decide));
}

/** What Node keeps of a connection, and tells nowhere else. */
interface HttpSocket extends Socket {
  /** The answer whose turn it is. */
  readonly _httpMessage?: ServerResponse | null;
  /** Undefined before it is a connection of HTTP. */
  readonly parser?: { readonly incoming: IncomingMessage | null } | null;
}

function answering(socket: HttpSocket): ServerResponse | undefined {
  return socket._httpMessage ?? undefined;
}

function isHttp({ parser }: HttpSocket): boolean {
  return parser !== undefined;
}

/** Whether what came last belongs to a request whose head was whole. */
function isInBody({ parser }: HttpSocket): boolean {
  return parser?.incoming?.complete === false;
}

function breakageOf({ code }: { readonly code?: string }): Breakage {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "late";
  return code === "HPE_HEADER_OVERFLOW" ? "head too large" : "not HTTP";
}

/** There is no request yet, and so no response: it is written by hand. */
function write(socket: Socket, breakage: Breakage, { headers, body }: BrokenAnswer): void {
  const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body)), connection: "close" });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.end(`HTTP/1.1 ${breakage === "late" ? "408 Request Timeout" : "400 Bad Request"}\r\n${head}\r\n${body}`);
}
