import { fastify, type FastifyContentTypeParser, type FastifyInstance, type FastifyServerOptions } from "fastify";
import { ServableError } from "../../../errors.ts";
import { InferenceError } from "../../../protocol/inference-error.ts";
import type { TlsMaterial } from "../../address.ts";
import { answerBroken, type Breakage, type BrokenAnswer } from "../broken-request.ts";
import { leaveLateRequests, answerExpectations } from "../request-listeners.ts";
import { boundSilence } from "../stalls.ts";
import { failureAnswer, plainSending, refusal, sendAnswer } from "./answer.ts";

const headersTimeoutMs = 10_000;
const idleTimeoutMs = 72_000;
/** From the first byte to the last of a request's body. */
const requestTimeoutMs = 300_000;
/** A connection on which nothing moves; a model may take long to load, and its answer waits for that. */
const silentMs = 3_600_000;

/** A Fastify that leaves bodies alone, with our limits, all of whose failures are answered as Triton answers. */
export function createModelApp(tls: TlsMaterial | undefined, onUnforeseen: (thrown: unknown) => void): FastifyInstance {
  const options: FastifyServerOptions = {
    logger: false,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: silentMs,
    keepAliveTimeout: idleTimeoutMs,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    exposeHeadRoutes: false,
    // No route has a schema, and what compiles schemas would be loaded at once.
    schemaController: { compilersFactory: { buildValidator: () => noSchemas, buildSerializer: () => noSchemas } },
    frameworkErrors: (_error, _request, reply) => {
      // A path that can't be decoded; hooks have not seen it, so nothing is told of what there is.
      sendAnswer(reply, refusal(404), plainSending);
    },
    clientErrorHandler: (thrown, socket) => {
      answerBroken(thrown, socket, brokenAnswer);
    },
  };
  // Triton does not ask for a Host header, and Node's own answer to a request without one has no text.
  const serverOptions = { headersTimeout: headersTimeoutMs, requireHostHeader: false };
  // Fastify types an HTTPS instance apart; nothing here depends on the difference.
  const app =
    tls === undefined
      ? fastify({ ...options, http: serverOptions })
      : (fastify({ ...options, https: { cert: tls.cert, key: tls.key, ...serverOptions } } as FastifyServerOptions) as FastifyInstance);
  leaveBodies(app);
  answerExpectations(app.server);
  leaveLateRequests(app.server);
  boundSilence(app.server, { silentMs });
  app.setNotFoundHandler((_request, reply) => {
    sendAnswer(reply, refusal(404), plainSending);
  });
  app.setErrorHandler((thrown: unknown, _request, reply) => {
    onUnforeseen(thrown);
    sendAnswer(reply, failureAnswer(thrown), plainSending);
  });
  return app;
}

function noSchemas(): never {
  throw new ServableError("internal", "A route of a model server has no schema.");
}

/** Bodies are read where their limits are known; what a content type says does not matter. */
function leaveBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  const leave: FastifyContentTypeParser = (_request, _payload, done) => {
    done(null);
  };
  app.addContentTypeParser("*", leave);
  // Takes everything, too; unlike "*", Fastify remembers what it took, and need not read the header anew each time.
  app.addContentTypeParser(/^/, leave);
}

const textOf: Readonly<Record<Breakage, string>> = {
  late: "The request did not arrive in time.",
  "head too large": "The request's head is too large.",
  "not HTTP": "The request is not valid HTTP.",
};

function brokenAnswer(breakage: Breakage): BrokenAnswer {
  const { headers, body } = failureAnswer(new InferenceError("INVALID_ARG", textOf[breakage]));
  return { headers, body: body as string };
}
