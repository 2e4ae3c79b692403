import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from "fastify";
import { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { newRequestId } from "../../service/request-id.ts";
import type { Logger } from "../../service/service.ts";
import type { TlsMaterial } from "../address.ts";
import { answerBroken, type Breakage, type BrokenAnswer } from "./broken-request.ts";
import { elapsedMs, noteArrival } from "./arrival.ts";
import { problemAnswer } from "./exchange.ts";
import { requestIdOf } from "./head.ts";
import { foreignProblem, foreignStatus } from "./foreign-problem.ts";
import { answerExpectations } from "./request-listeners.ts";
import { sendFrom } from "./service-front.ts";
import { boundSilence } from "./stalls.ts";

const headersTimeoutMs = 10_000;
const idleTimeoutMs = 72_000;
/** Beyond the longest deadline of any service: a connection on which nothing moved for so long has nobody at its end. */
const slackMs = 30_000;

/** Scopes in which every answer is one of ours. */
const ownScopes = new WeakSet<FastifyInstance>();

/** A Fastify with our limits. Routes of the user's own get Fastify's own handling, or the user's; see {@link answerErrors} for ours. */
export function createApp(engine: Engine, tls: TlsMaterial | undefined, log: Logger): FastifyInstance {
  const longestMs = Math.max(...[...engine.definitions.keys()].map((name) => engine.policy(name).deadlineMs));
  const silentMs = Math.min(longestMs + slackMs, 2 ** 31 - 1);
  const options: FastifyServerOptions = {
    logger: false,
    genReqId(message) {
      noteArrival(message);
      return requestIdOf(message.headers["x-request-id"]);
    },
    // For routes of the user's own. Services read their bodies themselves, each with its own limit; see node-body.ts.
    bodyLimit: 1024 * 1024,
    requestTimeout: 0,
    connectionTimeout: silentMs,
    keepAliveTimeout: idleTimeoutMs,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => {
      answerError(engine, error, request, reply);
    },
    clientErrorHandler: (thrown, socket) => {
      answerBroken(thrown, socket, brokenAnswer);
    },
    exposeHeadRoutes: true,
  };
  // Fastify types an HTTPS instance apart; nothing here depends on the difference.
  const serverOptions = { headersTimeout: headersTimeoutMs, requireHostHeader: false };
  const app =
    tls === undefined
      ? fastify({ ...options, http: serverOptions })
      : (fastify({ ...options, https: { cert: tls.cert, key: tls.key, ...serverOptions } } as FastifyServerOptions) as FastifyInstance);
  answerExpectations(app.server);
  boundSilence(app.server, { silentMs });
  // Fastify writes no log here, and nobody else would tell of it.
  app.addHook("onError", (request, reply, error, done) => {
    if (!ownScopes.has(request.server) && foreignStatus(error, reply) >= 500) {
      log.error({ requestId: request.id, err: error }, "a route of your own failed");
    }
    done();
  });
  return app;
}

/** Makes whatever fails in a scope a problem document: its hooks and plugins, too. */
export function answerErrors(scope: FastifyInstance, engine: Engine): void {
  ownScopes.add(scope);
  scope.setErrorHandler((thrown: unknown, request, reply) => {
    answerError(engine, thrown, request, reply);
  });
}

/**
 * Answers what has no route, unless the user has a handler for that. In the services' scope: there its hooks have checked who asks,
 * and no body is read.
 */
export function refuseUnknownPaths(scope: FastifyInstance, engine: Engine): void {
  const refuse = (request: FastifyRequest, reply: FastifyReply): void => {
    const error = unknownPath(engine, request);
    engine.refused(request.id, undefined, error, elapsedMs(request, reply));
    sendFrom(engine, reply, problemAnswer(error, request.id));
  };
  try {
    scope.setNotFoundHandler(refuse);
  } catch {
    // The only thing that it throws for: there is one already. Fastify has no way to ask.
  }
}

function unknownPath(engine: Engine, request: FastifyRequest): ServableError {
  const [path = ""] = request.url.split("?", 1);
  const name = /^\/([^/]+)(?:\/batch)?$/.exec(path)?.[1];
  return engine.unknownService(name ?? path);
}

function answerError(engine: Engine, thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { error, status } = foreignProblem(thrown, reply, engine.state);
  engine.refused(request.id, undefined, error, elapsedMs(request, reply));
  const answer = problemAnswer(error, request.id, status);
  // Such as a rate limiter's retry-after: whoever refused knows better.
  const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => name === "content-type" || !reply.hasHeader(name)));
  sendFrom(engine, reply, { ...answer, headers });
}

const textOf: Readonly<Record<Breakage, string>> = {
  late: "The request's head did not arrive in time.",
  "head too large": "The request's head is too large.",
  "not HTTP": "The request is not valid HTTP.",
};

function brokenAnswer(breakage: Breakage): BrokenAnswer {
  const requestId = newRequestId();
  const error = new ServableError(breakage === "late" ? "request_timeout" : "invalid_request", textOf[breakage]);
  const { headers, body } = problemAnswer(error, requestId);
  return { headers: { ...headers, "x-request-id": requestId }, body: body as string };
}
