import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { AnswerBody } from "../answer-body.ts";
import { whenEnded } from "../answer-end.ts";
import type { RequestHead, WholeRequest } from "./whole-request.ts";

/** The connection of a call. */
export interface CallConnection {
  readonly socket: Socket;
  /**
   * Answers the request at hand.
   *
   * @param head - names and values in turn
   * @param last - the connection is closed behind it
   * @throws Error for a value that no header can carry
   */
  send(status: number, head: readonly string[], body: AnswerBody, last: boolean): void;
  /** Makes the connection Node's, which reads the request at hand once more. */
  handOver(): void;
}

/** Node's own two for a request. */
export type NodeAnswering = (message: IncomingMessage, response: ServerResponse) => void;

/** A request that came as a whole, until it is answered: on its connection, or on Node's response where that has become Node's. */
export class QuickCall {
  readonly head: RequestHead;
  readonly body: Uint8Array;
  readonly socket: Socket;
  #connection: CallConnection | undefined;
  #node: { readonly message: IncomingMessage; readonly response: ServerResponse } | undefined;
  #onNode: NodeAnswering | undefined;
  #onGone: (() => void) | undefined;

  constructor(connection: CallConnection, { head, body }: WholeRequest) {
    this.head = head;
    this.body = body;
    this.socket = connection.socket;
    this.#connection = connection;
  }

  /** Names what to do when the client goes away before the answer is out. */
  onGone(callback: () => void): void {
    this.#onGone = callback;
  }

  /** Whether it can be answered by {@link send}. */
  get isQuick(): boolean {
    return this.#connection !== undefined;
  }

  /** Answers it on its connection; see {@link CallConnection.send}. */
  send(status: number, head: readonly string[], body: AnswerBody, last: boolean): void {
    this.#onGone = undefined;
    this.#connection?.send(status, head, body, last);
  }

  /** Answers it on Node's response: at once, or when Node has read the request, too. */
  sendByNode(answer: NodeAnswering): void {
    if (this.#node === undefined) {
      this.#onNode = answer;
      this.#connection?.handOver();
    } else {
      answer(this.#node.message, this.#node.response);
    }
  }

  /** The connection becomes Node's. */
  leaveConnection(): void {
    this.#connection = undefined;
  }

  /** Node has read it. */
  adopt(message: IncomingMessage, response: ServerResponse): void {
    this.#node = { message, response };
    whenEnded(response, ({ writableFinished }) => {
      if (!writableFinished) this.gone();
    });
    this.#onNode?.(message, response);
    this.#onNode = undefined;
  }

  /** Its client has gone away. */
  gone(): void {
    this.#connection = this.#onNode = undefined;
    this.#onGone?.();
  }
}
