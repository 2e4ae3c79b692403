import type { IncomingHttpHeaders } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { whenEnded } from "../answer-end.ts";
import type { AbortReading } from "../call.ts";
import { NodeBody, type JoinParts } from "../node-body.ts";
import type { QuickCall } from "../quick/quick-call.ts";
import { headOf, sendAnswer, sendOn, type Sending, type WireAnswer } from "./answer.ts";

/** Who asks something of a model: the request, and the way back. */
export interface Caller {
  readonly headers: IncomingHttpHeaders;
  /** Reads the body; exactly one of the two is called, once, perhaps before this returns. @returns what ends the reading early */
  readBody(reading: BodyReading): AbortReading | undefined;
  /** Names what to do when the client goes away before the answer is out. */
  onGone(callback: () => void): void;
  /** @throws Error for what can't be sent; see {@link cut} */
  send(answer: WireAnswer, sending: Sending): void;
  /** Ends the connection. */
  cut(): void;
}

/** How a body is read. */
export interface BodyReading {
  readonly maxBytes: number;
  readonly join: JoinParts | undefined;
  readonly done: (body: Uint8Array) => void;
  readonly failed: (thrown: unknown) => void;
}

/** Behind Fastify. */
export class FastifyCaller implements Caller {
  readonly headers: IncomingHttpHeaders;
  readonly reply: FastifyReply;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.headers = request.headers;
    this.reply = reply;
  }

  readBody({ maxBytes, join, done, failed }: BodyReading): AbortReading {
    return new NodeBody(this.reply.request.raw, join).whole(maxBytes, done, failed);
  }

  onGone(callback: () => void): void {
    whenEnded(this.reply.raw, ({ writableFinished }) => {
      if (!writableFinished) callback();
    });
  }

  send(answer: WireAnswer, sending: Sending): void {
    sendAnswer(this.reply, answer, sending);
  }

  cut(): void {
    this.reply.raw.destroy();
  }
}

/** On the connection itself, past Node's HTTP. */
export class QuickCaller implements Caller {
  readonly headers: IncomingHttpHeaders;
  readonly #call: QuickCall;

  constructor(call: QuickCall) {
    this.headers = call.head.headers;
    this.#call = call;
  }

  readBody({ done }: BodyReading): undefined {
    // Its length, which is all that was allowed, is what the head says.
    done(this.#call.body);
  }

  onGone(callback: () => void): void {
    this.#call.onGone(callback);
  }

  send(answer: WireAnswer, sending: Sending): void {
    const call = this.#call;
    if (call.isQuick) {
      call.send(answer.status, headOf(answer, sending), answer.body, sending.last);
      return;
    }
    call.sendByNode((_message, response) => {
      try {
        sendOn(response, answer, sending);
      } catch {
        response.destroy();
      }
    });
  }

  cut(): void {
    this.#call.socket.destroy();
  }
}
