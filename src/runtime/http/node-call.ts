import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { whenEnded } from "./answer-end.ts";
import type { BodySource, HttpCall } from "./call.ts";
import { metadataOf } from "./head.ts";
import { NodeBody } from "./node-body.ts";

/** A call that is told by headers as Node gives them. A class, so that a request costs few objects. */
export abstract class HeadCall implements HttpCall {
  readonly requestId: string;
  readonly body: BodySource | Uint8Array;
  readonly #headers: IncomingHttpHeaders;

  constructor(headers: IncomingHttpHeaders, body: BodySource | Uint8Array, requestId: string) {
    this.requestId = requestId;
    this.body = body;
    this.#headers = headers;
  }

  get contentType(): string | undefined {
    return this.#headers["content-type"];
  }
  get contentLength(): number | undefined {
    const length = this.#headers["content-length"];
    return length === undefined ? undefined : Number(length);
  }
  get accept(): string | undefined {
    return this.#headers.accept;
  }
  get timeoutMs(): string | undefined {
    const timeoutMs = this.#headers["x-timeout-ms"];
    return typeof timeoutMs === "string" ? timeoutMs : undefined;
  }

  metadata(): Readonly<Record<string, string>> {
    return metadataOf(this.#headers);
  }

  abstract onGone(callback: () => void): void;
}

/** A request of Node's, as a call. */
export class NodeCall extends HeadCall {
  readonly #response: ServerResponse;

  constructor(message: IncomingMessage, response: ServerResponse, requestId: string) {
    super(message.headers, new NodeBody(message), requestId);
    this.#response = response;
  }

  onGone(callback: () => void): void {
    whenEnded(this.#response, ({ writableFinished }) => {
      if (!writableFinished) callback();
    });
  }
}
