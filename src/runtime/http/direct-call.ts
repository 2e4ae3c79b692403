import type { IncomingMessage, ServerResponse } from "node:http";
import { isStream, type HttpAnswer, type HttpCall } from "./call.ts";
import { headOf, sendDirectly, type Sending } from "./direct-answer.ts";
import { HeadCall, NodeCall } from "./node-call.ts";
import type { QuickCall } from "./quick/quick-call.ts";

/** A call that is answered with nobody between. */
export interface DirectCall extends HttpCall {
  /** Sends its answer, or ends its connection where that can't be. */
  send(answer: HttpAnswer, sending: Sending): void;
}

/** On Node's request and response. */
export class DirectNodeCall extends NodeCall implements DirectCall {
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;

  constructor(message: IncomingMessage, response: ServerResponse, requestId: string) {
    super(message, response, requestId);
    this.#message = message;
    this.#response = response;
  }

  send(answer: HttpAnswer, sending: Sending): void {
    sendOrCut(this.#message, this.#response, answer, sending);
  }
}

/** On the connection itself. */
export class DirectQuickCall extends HeadCall implements DirectCall {
  readonly #call: QuickCall;

  constructor(call: QuickCall, requestId: string) {
    super(call.head.headers, call.body, requestId);
    this.#call = call;
  }

  onGone(callback: () => void): void {
    this.#call.onGone(callback);
  }

  send(answer: HttpAnswer, sending: Sending): void {
    const call = this.#call;
    if (isStream(answer) || !call.isQuick) {
      call.sendByNode((message, response) => {
        sendOrCut(message, response, answer, sending);
      });
      return;
    }
    try {
      call.send(answer.status, headOf(answer, sending), answer.body, sending.last);
    } catch {
      // As below.
      call.socket.destroy();
    }
  }
}

function sendOrCut(message: IncomingMessage, response: ServerResponse, answer: HttpAnswer, sending: Sending): void {
  try {
    sendDirectly(message, response, answer, sending);
  } catch {
    // A media type of the service's own that no header can carry.
    response.destroy();
  }
}
