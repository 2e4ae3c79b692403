import type { IncomingMessage, ServerResponse } from "node:http";
import { whenEnded } from "./answer-end.ts";
import { isStream, type HttpAnswer, type StreamedAnswer } from "./call.ts";
import { problemAnswer } from "./exchange.ts";
import { ItemStream } from "./item-stream.ts";
import { discardRest } from "./node-body.ts";
import { endWithText } from "./one-write.ts";

/** What belongs to an answer besides itself. */
export interface Sending {
  readonly requestId: string;
  /** The connection is to be closed. */
  readonly last: boolean;
  /** How much of a body that was not read is thrown away, so that the sender gets to read the answer. */
  readonly maxRestBytes: number;
}

/** Sends an answer on Node's own response, as Fastify would. A stream ends when the client goes away. */
export function sendDirectly(message: IncomingMessage, response: ServerResponse, answer: HttpAnswer, sending: Sending): void {
  if (response.destroyed || response.headersSent) return;
  if (isStream(answer)) {
    sendStream(message, response, answer, sending);
    return;
  }
  const { body, status } = answer;
  if (!message.complete) discardRest(message, { response, maxBytes: sending.maxRestBytes, last: sending.last && status !== 408 });
  const head = headOf(answer, sending);
  const length = Buffer.byteLength(body);
  head.push("content-length", String(length));
  response.writeHead(status, head);
  if (typeof body === "string") endWithText(response, body, length);
  else response.end(body);
}

function sendStream(message: IncomingMessage, response: ServerResponse, answer: StreamedAnswer, sending: Sending): void {
  if (!message.complete) {
    // A service may stream its answer while it reads.
    response.once("finish", () => {
      discardRest(message, { response, maxBytes: sending.maxRestBytes });
    });
  }
  const source = new ItemStream(answer.body, { message, response, maxRestBytes: sending.maxRestBytes });
  const head = headOf(answer, sending);
  source.once("readable", () => {
    if (response.headersSent || response.destroyed) return;
    try {
      // There is something by now, or there is nothing: Fastify's answer is told by its length then (in HTTP/1.1), and so is this one.
      if (source.readableLength === 0 && response.useChunkedEncodingByDefault) head.push("content-length", "0");
      response.writeHead(answer.status, head);
      source.pipe(response);
    } catch {
      // A media type of the service's own that no header can carry.
      response.destroy();
    }
  });
  source.once("error", (thrown) => {
    if (response.headersSent) response.destroy();
    else sendDirectly(message, response, problemAnswer(thrown, sending.requestId), sending);
  });
  whenEnded(response, () => {
    source.destroy();
  });
}

/** The head of an answer, names and values in turn, without the length of its body. */
export function headOf({ headers, body }: HttpAnswer, { requestId, last }: Sending): string[] {
  const head: string[] = [];
  for (const name in headers) {
    const value = headers[name] ?? "";
    head.push(name, name === "content-type" && typeof body === "string" ? withCharset(value) : value);
  }
  head.push("x-request-id", requestId);
  if (last) head.push("connection", "close");
  return head;
}

/** As Fastify does, which says of JSON too that it is UTF-8. */
function withCharset(mediaType: string): string {
  if (mediaType === "application/json") return "application/json; charset=utf-8";
  return mediaType.includes("json") && !mediaType.includes("charset") ? `${mediaType}; charset=utf-8` : mediaType;
}
