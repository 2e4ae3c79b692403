import type { IncomingMessage, Server, ServerResponse } from "node:http";

type RequestListener = (message: IncomingMessage, response: ServerResponse) => void;

/**
 * Puts something before a server's listeners for requests.
 *
 * @param take - true where it has dealt with the request, which the listeners then don't see
 */
export function takeRequests(server: Server, take: (message: IncomingMessage, response: ServerResponse) => boolean): void {
  // Node tells the kind of a listener nowhere else.
  const others = server.listeners("request") as RequestListener[];
  server.removeAllListeners("request");
  server.on("request", (message: IncomingMessage, response: ServerResponse) => {
    if (!take(message, response)) for (const other of others) other(message, response);
  });
}

/**
 * Leaves alone what comes on a connection after its last answer: nothing can be sent there. Node gives such a request the connection for which
 * one before it may still wait; its answer would overtake that one's, and an assertion of Node's about their order would end the process.
 */
export function leaveLateRequests(server: Server): void {
  takeRequests(server, isLate);
}

/** Whether the last answer of a request's connection is sent. */
export function isLate({ socket }: IncomingMessage): boolean {
  return socket.writableEnded || socket.destroyed;
}

/**
 * Answers what a request expects of its server. RFC 9110 section 10.1.1 lets one pass over what it does not know; Node's own refusal would have
 * neither a text nor a log line.
 */
export function answerExpectations(server: Server): void {
  server.on("checkExpectation", (message: IncomingMessage, response: ServerResponse) => {
    server.emit("request", message, response);
  });
  server.on("checkContinue", (message: IncomingMessage, response: ServerResponse) => {
    response.writeContinue();
    if (response.socket === null) keepHeadInPlace(response);
    server.emit("request", message, response);
  });
}

/** Node puts the head of an answer with bytes before all that waits for its turn on the connection, a `100 Continue` too; sent alone it is put behind. */
function keepHeadInPlace(response: ServerResponse): void {
  const end = response.end.bind(response) as (...given: unknown[]) => ServerResponse;
  response.end = ((...given: unknown[]) => {
    if (response.headersSent && response.socket === null) response.flushHeaders();
    return end(...given);
  }) as typeof response.end;
}
