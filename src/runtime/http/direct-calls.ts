import type { IncomingHttpHeaders, Server } from "node:http";
import type { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { isStream, type HttpAnswer } from "./call.ts";
import type { Connections } from "./connections.ts";
import type { Sending } from "./direct-answer.ts";
import { DirectNodeCall, DirectQuickCall, type DirectCall } from "./direct-call.ts";
import { answerCall, problemAnswer } from "./exchange.ts";
import { requestIdOf } from "./head.ts";
import { restBytes, restBytesOf } from "./node-body.ts";
import { takeRequests } from "./request-listeners.ts";
import { TurnEnd } from "./turn-end.ts";
import type { OriginGuard } from "./origins.ts";

/** What stands before the services on a listener. */
export interface DirectCallOptions {
  readonly engine: Engine;
  readonly connections: Connections;
  /** Says why pages of other origins are turned away. */
  readonly originGuard: OriginGuard | undefined;
  /** Says why a caller without a token is turned away. */
  readonly tokenGuard: ((authorization: string | undefined) => ServableError | undefined) | undefined;
}

/**
 * Has `POST /{service}` answered before Fastify sees it, on Node's own request and response, or on the connection itself where a request is of the simple
 * kind; everything else is Fastify's. The same call takes the same way behind all three; Fastify's part of it costs a small request a sixth of its
 * time, and Node's a half, and the former is worth that only where hooks are to run.
 *
 * @param server - whose listener for requests is Fastify's
 */
export function answerDirectly(server: Server, options: DirectCallOptions): void {
  const { engine, connections } = options;
  const lane = new Lane(options);
  const services = new Map([...engine.definitions.values()].map((definition) => [`/${definition.name}`, definition]));
  takeRequests(server, (message, response) => {
    const definition = message.method === "POST" ? services.get(message.url ?? "") : undefined;
    if (definition === undefined) return false;
    const { headers } = message;
    lane.answer(definition, headers, new DirectNodeCall(message, response, requestIdOf(headers["x-request-id"])));
    return true;
  });
  connections.addQuickLane(server, (call) => {
    const definition = services.get(call.head.path);
    // Streams are sent by Node.
    if (definition === undefined || definition.outputStream === true) return false;
    const { headers } = call.head;
    lane.answer(definition, headers, new DirectQuickCall(call, requestIdOf(headers["x-request-id"])));
    return true;
  });
}

class Lane {
  readonly #options: DirectCallOptions;
  readonly #turnEnd = new TurnEnd<Settled>((settled) => {
    this.#send(settled);
  });

  constructor(options: DirectCallOptions) {
    this.#options = options;
  }

  answer(definition: AnyServiceDefinition, headers: IncomingHttpHeaders, call: DirectCall): void {
    const { engine, originGuard, tokenGuard } = this.#options;
    const { requestId } = call;
    const strange = tokenGuard?.(headers.authorization);
    // What a service takes is not for strangers to try out.
    const maxRestBytes = strange === undefined ? restBytesOf(engine.policy(definition.name).maxBodyBytes) : restBytes;
    const deliver = (answer: HttpAnswer): void => {
      const settled: Settled = { maxRestBytes, call, answer };
      if (isStream(answer)) this.#send(settled);
      else this.#turnEnd.add(settled);
    };
    const foreign = strange === undefined ? originGuard?.(headers) : undefined;
    const refused = strange ?? foreign;
    if (refused === undefined) {
      answerCall(engine, definition, call, deliver);
      return;
    }
    engine.refused(requestId, strange === undefined ? definition.name : undefined, refused, 0);
    deliver(problemAnswer(refused, requestId, foreign && 403));
  }

  #send({ maxRestBytes, call, answer }: Settled): void {
    const sending: Sending = {
      requestId: call.requestId,
      // A client that keeps its connection would hold up the stop, or be cut off in its next request. RFC 9110 section 15.5.9: the rest of
      // a body that came too slowly is not waited for.
      last: this.#options.engine.isEnding || answer.status === 408,
      maxRestBytes,
    };
    call.send(answer, sending);
  }
}

/** An answer and whose it is. */
interface Settled {
  /** How much of a body that was not read is thrown away. */
  readonly maxRestBytes: number;
  readonly call: DirectCall;
  readonly answer: HttpAnswer;
}
