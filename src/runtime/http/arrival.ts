import type { IncomingMessage } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";

const arrivedAt: unique symbol = Symbol("arrivedAt");

interface Timed extends IncomingMessage {
  [arrivedAt]?: number;
}

/** Notes when a request came. On the message: a hook for it, or Fastify's own clock, would cost each request a listener or more. */
export function noteArrival(message: Timed): void {
  message[arrivedAt] = performance.now();
}

/** Milliseconds since a request came, where that was noted by us or, in an app of the user's own, by Fastify; else 0. */
export function elapsedMs(request: FastifyRequest, reply: FastifyReply): number {
  const since = (request.raw as Timed)[arrivedAt];
  return since === undefined ? reply.elapsedTime : performance.now() - since;
}
