import type { IncomingMessage, ServerResponse } from "node:http";
import { whenEnded } from "./answer-end.ts";
import type { BodySource, HttpCall } from "./call.ts";
import { metadataOf } from "./head.ts";
import { NodeBody } from "./node-body.ts";

/** A request of Node's, as a call. A class, so that a request costs few objects. */
export class NodeCall implements HttpCall {
  readonly requestId: string;
  readonly body: BodySource;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;

  constructor(message: IncomingMessage, response: ServerResponse, requestId: string) {
    this.requestId = requestId;
    this.body = new NodeBody(message);
    this.#message = message;
    this.#response = response;
  }

  get contentType(): string | undefined {
    return this.#message.headers["content-type"];
  }
  get contentLength(): number | undefined {
    const length = this.#message.headers["content-length"];
    return length === undefined ? undefined : Number(length);
  }
  get accept(): string | undefined {
    return this.#message.headers.accept;
  }
  get timeoutMs(): string | undefined {
    const timeoutMs = this.#message.headers["x-timeout-ms"];
    return typeof timeoutMs === "string" ? timeoutMs : undefined;
  }

  metadata(): Readonly<Record<string, string>> {
    return metadataOf(this.#message.headers);
  }

  onGone(callback: () => void): void {
    whenEnded(this.#response, ({ writableFinished }) => {
      if (!writableFinished) callback();
    });
  }
}
