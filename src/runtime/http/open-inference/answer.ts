import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { lengthOf, type AnswerBody } from "../answer-body.ts";
import { discardRest, restBytes } from "../node-body.ts";
import { endWithText } from "../one-write.ts";
import { failureBody, failureHeaders, httpStatusOf } from "./failure.ts";

/** What is sent back. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AnswerBody;
}

const jsonHeaders = { "content-type": "application/json" } as const;

/** An answer in JSON. */
export function jsonAnswer(value: unknown): WireAnswer {
  return jsonTextAnswer(JSON.stringify(value));
}

/** An answer in JSON that is written already. */
export function jsonTextAnswer(text: string): WireAnswer {
  return { status: 200, headers: jsonHeaders, body: text };
}

/** An answer with no body. */
export function emptyAnswer(status: number): WireAnswer {
  return { status, headers: {}, body: "" };
}

/** A failure as an answer. */
export function failureAnswer(thrown: unknown): WireAnswer {
  return { status: httpStatusOf(thrown), headers: { ...jsonHeaders, ...failureHeaders(thrown) }, body: failureBody(thrown) };
}

/** A path or a method that there is not; in Triton these two are plain text. */
export function refusal(status: 404 | 405, headers: Readonly<Record<string, string>> = {}): WireAnswer {
  const error = status === 404 ? "Not Found" : "Method Not Allowed";
  return { status, headers: { "content-type": "text/plain", ...headers }, body: JSON.stringify({ error }) };
}

/** What holds of all answers of a connection's front. */
export interface Sending {
  /** The connection is to be closed. */
  readonly last: boolean;
  /** Hooks (CORS) may have set headers. To ask for them costs each small request something. */
  readonly hooked: boolean;
}

/** With whatever hooks have set. */
export const plainSending: Sending = { last: false, hooked: true };

/** Sends an answer, on the response itself: a reply's own `send` goes through hooks that nobody has set, and takes one piece. */
export function sendAnswer(reply: FastifyReply, answer: WireAnswer, sending: Sending): void {
  const { raw: response } = reply;
  const { raw: message } = reply.request;
  if (response.destroyed || response.headersSent) return;
  if (!message.complete) discardRest(message, { response, maxBytes: restBytes, last: sending.last });
  sendOn(response, answer, sending, sending.hooked ? reply : undefined);
}

/** Sends an answer on a response. @param hooked - where hooks may have set headers */
export function sendOn(response: ServerResponse, answer: WireAnswer, sending: Sending, hooked?: FastifyReply): void {
  const { body, status } = answer;
  if (response.destroyed || response.headersSent) return;
  const length = lengthOf(body);
  const head = headOf(answer, sending);
  head.push("content-length", String(length));
  if (hooked !== undefined) addHooked(head, hooked);
  response.writeHead(status, head);
  if (typeof body === "string") {
    endWithText(response, body, length);
    return;
  }
  if (body instanceof Uint8Array) {
    response.end(body);
    return;
  }
  // One packet, as far as it fits.
  response.cork();
  for (const part of body) response.write(part);
  response.end();
  response.uncork();
}

/** Writes the head of an answer that goes on for a while. */
export function beginAnswer(reply: FastifyReply, answer: Pick<WireAnswer, "status" | "headers">, sending: Sending): void {
  const head = headOf(answer, sending);
  if (sending.hooked) addHooked(head, reply);
  reply.raw.writeHead(answer.status, head);
}

/** The head of an answer, names and values in turn, without the length of its body. */
export function headOf({ headers }: Pick<WireAnswer, "headers">, { last }: Sending): string[] {
  const head: string[] = [];
  for (const name in headers) head.push(name, headers[name] ?? "");
  if (last) head.push("connection", "close");
  return head;
}

function addHooked(head: string[], reply: FastifyReply): void {
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) head.push(name, Array.isArray(value) ? value.join(", ") : String(value));
  }
}
