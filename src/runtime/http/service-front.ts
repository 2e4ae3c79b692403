import type { FastifyContentTypeParser, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import { ServableError, messageOf } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { elapsedMs } from "./arrival.ts";
import { isStream, type Deliver, type HttpAnswer, type HttpCall } from "./call.ts";
import { answerBatchCall, answerCall, problemAnswer } from "./exchange.ts";
import { ItemStream } from "./item-stream.ts";
import { discardRest, restBytes, restBytesOf } from "./node-body.ts";
import { NodeCall } from "./node-call.ts";
import { originGuard } from "./origins.ts";
import { TurnEnd } from "./turn-end.ts";

/** What every front gets. */
export interface FrontOptions {
  /** Already loaded; started and stopped by whoever made it. */
  readonly engine: Engine;
}

/** What the front of the services gets. */
export interface ServiceFrontOptions extends FrontOptions {
  /** Origins whose pages may call, besides the server's own; `*` for all. @default all: whoever mounts it decides who may call */
  readonly origins?: readonly string[] | undefined;
}

/** The routes of the services: `POST /{service}` and `POST /{service}/batch`. */
export function serviceFront(app: FastifyInstance, { engine, origins }: ServiceFrontOptions): void {
  // The body is read where the request's limits and deadline are known, by the exchange.
  app.removeAllContentTypeParsers();
  const leaveBody: FastifyContentTypeParser = (_request, _payload, done) => {
    done(null);
  };
  app.addContentTypeParser("*", leaveBody);
  // Takes everything, too; unlike "*", Fastify remembers what it took, and need not read the header anew each time.
  app.addContentTypeParser(/^/, leaveBody);
  const guard = originGuard(origins);
  for (const definition of engine.definitions.values()) {
    const { name } = definition;
    const add = (url: string, answer: (call: HttpCall, deliver: Deliver) => void): void => {
      route(app, engine, {
        method: "POST",
        url,
        definition,
        answer(request, reply, deliver) {
          const foreign = guard?.(request.headers);
          if (foreign === undefined) {
            answer(new NodeCall(request.raw, reply.raw, request.id), deliver);
            return;
          }
          engine.refused(request.id, name, foreign, elapsedMs(request, reply));
          deliver(problemAnswer(foreign, request.id, 403));
        },
      });
    };
    add(`/${name}`, (call, deliver) => {
      answerCall(engine, definition, call, deliver);
    });
    add(`/${name}/batch`, (call, deliver) => {
      void answerBatchCall(engine, definition, call).then(deliver);
    });
  }
}

const methods: readonly HTTPMethods[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** A path and what it answers. */
export interface Route {
  readonly method: "GET" | "POST";
  readonly url: string;
  /** Whose route it is, where it is a service's. */
  readonly definition?: AnyServiceDefinition;
  readonly answer: (request: FastifyRequest, reply: FastifyReply, deliver: Deliver) => void;
}

/** For a route whose answer is there at once or promised. */
export function replying(answer: (request: FastifyRequest) => HttpAnswer | Promise<HttpAnswer>): Route["answer"] {
  return (request, _reply, deliver) => {
    const result = answer(request);
    if (!(result instanceof Promise)) {
      deliver(result);
      return;
    }
    result.then(deliver, (thrown: unknown) => {
      deliver(problemAnswer(thrown, request.id));
    });
  };
}

interface Answered {
  readonly engine: Engine;
  readonly reply: FastifyReply;
  readonly settled: HttpAnswer;
  readonly maxRestBytes: number | undefined;
}

function sendNow({ engine, reply, settled, maxRestBytes }: Answered): void {
  try {
    sendFrom(engine, reply, settled, maxRestBytes);
  } catch {
    reply.raw.destroy();
  }
}

/** One for all routes, so that answers on one connection leave in one go. */
const turnEnd = new TurnEnd(sendNow);

/** Adds a route for one method; any other method on its path is told which one it is. */
export function route(app: FastifyInstance, engine: Engine, { method, url, definition, answer }: Route): void {
  const maxRestBytes = definition && restBytesOf(engine.policy(definition.name).maxBodyBytes);
  // It returns nothing: Fastify would take a reply for a promise, and listen for the end of each response.
  const handler = (request: FastifyRequest, reply: FastifyReply): void => {
    answer(request, reply, (settled) => {
      const answered = { engine, reply, settled, maxRestBytes };
      if (isStream(settled)) sendNow(answered);
      else turnEnd.add(answered);
    });
  };
  app.route({
    method,
    url,
    handler,
    errorHandler: (thrown: unknown, request, reply) => {
      // Whether a content type is taken is the service's to say, malformed ones included: its answer lists those that are.
      if (!isError(thrown, "FST_ERR_CTP_INVALID_MEDIA_TYPE")) throw asError(thrown);
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
      engine.refused(request.id, definition?.name, error, elapsedMs(request, reply));
      sendFrom(engine, reply, problemAnswer(error, request.id), maxRestBytes);
    },
  });
}

function isError(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === code;
}

/** Thrown on, anything else would be sent as if it were an answer. */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return Object.assign(new Error(messageOf(thrown), { cause: thrown }), typeof thrown === "object" ? thrown : undefined);
}

/**
 * Sends an answer, the last one on its connection where the engine stops; a stream ends when the client goes away.
 *
 * @param maxRestBytes - how much of the request's body, where it is not read, is thrown away so that the sender gets to read the answer;
 * default 16 MiB
 */
export function sendFrom(engine: Engine, reply: FastifyReply, answer: HttpAnswer, maxRestBytes: number = restBytes): void {
  const { status, headers, body } = answer;
  const { raw: response } = reply;
  const { id, raw: message } = reply.request;
  reply.code(status).headers(headers).header("x-request-id", id);
  // A client that keeps its connection would hold up the stop, or be cut off in its next request. RFC 9110 section 15.5.9: the rest of a
  // body that came too slowly is not waited for.
  if (engine.isEnding || status === 408) reply.header("connection", "close");
  if (typeof body === "string" || body instanceof Uint8Array) {
    if (!message.complete) discardRest(message, { response, maxBytes: maxRestBytes, last: engine.isEnding && status !== 408 });
    reply.send(body);
    return;
  }
  if (!message.complete) {
    // A service may stream its answer while it reads.
    response.once("finish", () => {
      discardRest(message, { response, maxBytes: maxRestBytes });
    });
  }
  reply.send(new ItemStream(body, { message, response, maxRestBytes }));
}
