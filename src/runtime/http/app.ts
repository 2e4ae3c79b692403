import type { Socket } from "node:net";
import {
  fastify,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from "fastify";
import { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { problemAnswer } from "./exchange.ts";
import { requestIdOf } from "./head.ts";
import { send } from "./service-front.ts";

/** Certificate and key, PEM. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const headersTimeoutMs = 10_000;
const idleTimeoutMs = 72_000;
/** Beyond the longest deadline of any service: a socket on which nothing moved for so long has nobody at its end. */
const slackMs = 30_000;

/** A Fastify whose every answer, its own mishaps included, is one of ours. */
export function createApp(engine: Engine, tls: TlsMaterial | undefined): FastifyInstance {
  const longestMs = Math.max(...[...engine.definitions.keys()].map((name) => engine.policy(name).deadlineMs));
  const options: FastifyServerOptions = {
    logger: false,
    genReqId: (message) => requestIdOf(message.headers["x-request-id"]),
    // For routes of the user's own. Services read their bodies themselves, each with its own limit; see node-body.ts.
    bodyLimit: 1024 * 1024,
    requestTimeout: 0,
    connectionTimeout: Math.min(longestMs + slackMs, 2 ** 31 - 1),
    keepAliveTimeout: idleTimeoutMs,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      answerError(engine, error, request, reply);
    },
    clientErrorHandler: answerGarbage,
    exposeHeadRoutes: true,
  };
  // Fastify types an HTTPS instance apart; nothing here depends on the difference.
  const serverOptions = { headersTimeout: headersTimeoutMs };
  const app =
    tls === undefined
      ? fastify({ ...options, http: serverOptions })
      : (fastify({ ...options, https: { ...tls, ...serverOptions } } as FastifyServerOptions) as FastifyInstance);
  app.setErrorHandler((error: FastifyError, request, reply) => {
    answerError(engine, error, request, reply);
  });
  return app;
}

/** Answers what has no route. In the services' scope: there its hooks have checked who asks, and no body is read. */
export function refuseUnknownPaths(scope: FastifyInstance, engine: Engine): void {
  scope.setNotFoundHandler((request, reply) => {
    const error = unknownPath(engine, request);
    engine.refused(request.id, undefined, error, reply.elapsedTime);
    return send(reply, problemAnswer(error, request.id));
  });
}

function unknownPath(engine: Engine, request: FastifyRequest): ServableError {
  const [path = ""] = request.url.split("?", 1);
  const name = /^\/([^/]+)(?:\/batch)?$/.exec(path)?.[1];
  return engine.unknownService(name ?? path);
}

function answerError(engine: Engine, thrown: FastifyError | ServableError, request: FastifyRequest, reply: FastifyReply): void {
  const error = toServableError(thrown);
  engine.refused(request.id, undefined, error, reply.elapsedTime);
  void send(reply, problemAnswer(error, request.id));
}

/** Fastify's own complaints about a request are the client's fault; whatever else arrives here is ours. */
function toServableError(thrown: FastifyError | ServableError): ServableError {
  if (ServableError.isInstance(thrown)) return thrown;
  switch (thrown.statusCode) {
    case 400:
    case 404:
    case 414:
      return new ServableError("invalid_request", "The request's address or head is malformed.", { cause: thrown });
    case 413:
      return new ServableError("payload_too_large", "The body is too large.", { cause: thrown });
    case 401:
    case 403:
      // A user's own authentication plugin said so.
      return new ServableError("unauthenticated", thrown.message, { cause: thrown });
    case 415:
      return new ServableError("unsupported_media_type", "The content type is malformed.", { cause: thrown });
    default:
      return new ServableError("internal", "Something went wrong in the server. Its log tells more, under this request id.", {
        cause: thrown,
      });
  }
}

/** Answers what is not HTTP at all; there is no request yet, so it is written by hand. */
function answerGarbage(thrown: Error & { readonly code?: string }, socket: Socket): void {
  if (socket.destroyed || !socket.writable || thrown.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const slow = thrown.code === "ERR_HTTP_REQUEST_TIMEOUT";
  const error = slow
    ? new ServableError("request_timeout", "The request's head did not arrive in time.")
    : new ServableError(
        "invalid_request",
        thrown.code === "HPE_HEADER_OVERFLOW" ? "The request's head is too large." : "The request is not valid HTTP.",
      );
  const { status, headers, body } = problemAnswer(error, crypto.randomUUID());
  const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body as string)), connection: "close" });
  socket.end(
    `HTTP/1.1 ${status} ${slow ? "Request Timeout" : "Bad Request"}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body as string}`,
  );
}
