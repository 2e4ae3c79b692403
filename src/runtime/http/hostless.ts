import type { Server } from "node:http";
import { ServableError } from "../../errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { sendDirectly } from "./direct-answer.ts";
import { problemAnswer } from "./exchange.ts";
import { requestIdOf } from "./head.ts";
import { restBytes } from "./node-body.ts";
import { takeRequests } from "./request-listeners.ts";

/** Refuses what RFC 9112 section 3.2 has a server refuse: HTTP/1.1 without a Host header. Node's own refusal has neither a text nor a log line. */
export function refuseHostless(server: Server, engine: Engine): void {
  takeRequests(server, (message, response) => {
    if (message.headers.host !== undefined || message.httpVersion !== "1.1") return false;
    const requestId = requestIdOf(message.headers["x-request-id"]);
    const error = new ServableError("invalid_request", "The request has no Host header, without which HTTP/1.1 is not taken.");
    engine.refused(requestId, undefined, error, 0);
    sendDirectly(message, response, problemAnswer(error, requestId), { requestId, last: true, maxRestBytes: restBytes });
    return true;
  });
}
