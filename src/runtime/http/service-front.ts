import { Readable } from "node:stream";
import type { FastifyContentTypeParser, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { answerBatchCall, answerCall, problemAnswer, type HttpAnswer, type HttpCall } from "./exchange.ts";
import { metadataOf } from "./head.ts";
import { nodeBody } from "./node-body.ts";

/** What every front gets. */
export interface FrontOptions {
  /** Already loaded; started and stopped by whoever made it. */
  readonly engine: Engine;
}

/** The routes of the services: `POST /{service}` and `POST /{service}/batch`. */
export function serviceFront(app: FastifyInstance, { engine }: FrontOptions): void {
  // The body is read where the request's limits and deadline are known, by the exchange.
  app.removeAllContentTypeParsers();
  const leaveBody: FastifyContentTypeParser = (_request, _payload, done) => {
    done(null);
  };
  app.addContentTypeParser("*", leaveBody);
  // Takes everything, too; unlike "*", Fastify remembers what it took, and need not read the header anew each time.
  app.addContentTypeParser(/^/, leaveBody);
  for (const definition of engine.definitions.values()) {
    route(
      app,
      engine,
      "POST",
      `/${definition.name}`,
      (request, reply) => answerCall(engine, definition, toCall(request, reply)),
      definition,
    );
    route(
      app,
      engine,
      "POST",
      `/${definition.name}/batch`,
      (request, reply) => answerBatchCall(engine, definition, toCall(request, reply)),
      definition,
    );
  }
}

const methods: readonly HTTPMethods[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Adds a route for one method; any other method on its path is told which one it is. */
export function route(
  app: FastifyInstance,
  engine: Engine,
  method: "GET" | "POST",
  url: string,
  answer: (request: FastifyRequest, reply: FastifyReply) => HttpAnswer | Promise<HttpAnswer>,
  definition?: AnyServiceDefinition,
): void {
  const handler = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const result = answer(request, reply);
    const deliver = (settled: HttpAnswer): FastifyReply => {
      // A client that keeps its connection would hold up the stop, or be cut off in its next request.
      if (engine.state === "stopping") reply.header("connection", "close");
      return send(reply, settled);
    };
    if (!(result instanceof Promise)) return deliver(result);
    result.then(deliver, (thrown: unknown) => deliver(problemAnswer(thrown, request.id))).catch(() => reply.raw.destroy());
    return reply;
  };
  app.route({
    method,
    url,
    handler,
    errorHandler: (error, request, reply) => {
      // Whether a content type is taken is the service's to say, malformed ones included: its answer lists those that are.
      if (error.code !== "FST_ERR_CTP_INVALID_MEDIA_TYPE") throw error;
      handler(request, reply);
    },
  });
  const allow = method === "GET" ? ["GET", "HEAD"] : [method];
  app.route({
    method: methods.filter((other) => !allow.includes(other)),
    url,
    handler: (request, reply) => {
      const path = request.routeOptions.url ?? url;
      const error = new ServableError("method_not_allowed", `${path} takes ${method}, not ${request.method}.`, { details: { allow } });
      engine.refused(request.id, definition?.name, error, reply.elapsedTime);
      return send(reply, problemAnswer(error, request.id));
    },
  });
}

/** Sends an answer; a stream ends when the client goes away. */
export function send(reply: FastifyReply, answer: HttpAnswer): FastifyReply {
  const { status, headers, body } = answer;
  reply.code(status).headers(headers);
  if (headers["x-request-id"] === undefined) reply.header("x-request-id", reply.request.id);
  // RFC 9110 section 15.5.9: the rest of that body is not waited for.
  if (status === 408) reply.header("connection", "close");
  return reply.send(typeof body === "string" || body instanceof Uint8Array ? body : Readable.from(body, { objectMode: false }));
}

function toCall(request: FastifyRequest, reply: FastifyReply): HttpCall {
  const { headers } = request;
  const length = headers["content-length"];
  const timeoutMs = headers["x-timeout-ms"];
  return {
    requestId: request.id,
    contentType: headers["content-type"],
    contentLength: length === undefined ? undefined : Number(length),
    accept: headers.accept,
    timeoutMs: typeof timeoutMs === "string" ? timeoutMs : undefined,
    metadata: () => metadataOf(headers),
    body: nodeBody(request.raw),
    onGone(callback) {
      reply.raw.once("close", () => {
        if (!reply.raw.writableFinished) callback();
      });
    },
  };
}
