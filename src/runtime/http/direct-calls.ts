import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { HttpAnswer } from "./call.ts";
import { answerCall, problemAnswer } from "./exchange.ts";
import { requestIdOf } from "./head.ts";
import { sendDirectly } from "./direct-answer.ts";
import { restBytes, restBytesOf } from "./node-body.ts";
import { NodeCall } from "./node-call.ts";
import type { OriginGuard } from "./origins.ts";

/** What stands before the services on a listener. */
export interface DirectCallOptions {
  readonly engine: Engine;
  /** Says why pages of other origins are turned away. */
  readonly originGuard: OriginGuard | undefined;
  /** Says why a caller without a token is turned away. */
  readonly tokenGuard: ((authorization: string | undefined) => ServableError | undefined) | undefined;
}

/**
 * Has `POST /{service}` answered on Node's own request and response, before Fastify sees it; everything else is Fastify's. The same call takes
 * the same way behind both; Fastify's part of it costs a small request a sixth of its time, and is worth that only where hooks are to run.
 *
 * @param server - whose listener for requests is Fastify's
 */
export function answerDirectly(server: Server, options: DirectCallOptions): void {
  const { engine } = options;
  const services = new Map([...engine.definitions.values()].map((definition) => [`/${definition.name}`, definition]));
  // Fastify has added one, and Node tells its kind nowhere else.
  const others = server.listeners("request") as ((message: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners("request");
  server.on("request", (message: IncomingMessage, response: ServerResponse) => {
    const definition = message.method === "POST" ? services.get(message.url ?? "") : undefined;
    if (definition === undefined) for (const other of others) other(message, response);
    else answer(options, definition, message, response);
  });
}

function answer(options: DirectCallOptions, definition: AnyServiceDefinition, message: IncomingMessage, response: ServerResponse): void {
  const { engine, originGuard, tokenGuard } = options;
  const { headers } = message;
  const requestId = requestIdOf(headers["x-request-id"]);
  const strange = tokenGuard?.(headers.authorization);
  const send = (settled: HttpAnswer): void => {
    try {
      sendDirectly(message, response, settled, {
        requestId,
        // A client that keeps its connection would hold up the stop, or be cut off in its next request. RFC 9110 section 15.5.9: the rest of
        // a body that came too slowly is not waited for.
        last: engine.state === "stopping" || settled.status === 408,
        // What a service takes is not for strangers to try out.
        maxRestBytes: strange === undefined ? restBytesOf(engine.policy(definition.name).maxBodyBytes) : restBytes,
      });
    } catch {
      response.destroy();
    }
  };
  const foreign = strange === undefined ? originGuard?.(headers) : undefined;
  const refused = strange ?? foreign;
  if (refused === undefined) {
    answerCall(engine, definition, new NodeCall(message, response, requestId), send);
    return;
  }
  engine.refused(requestId, strange === undefined ? definition.name : undefined, refused, 0);
  send(problemAnswer(refused, requestId, foreign && 403));
}
