import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A request as it arrived. */
export interface Arrival {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type Respond = (arrival: Arrival, response: ServerResponse) => void | Promise<void>;

/** A real HTTP server that a test scripts, so that the client is tested on the wire and not against itself. */
export interface WireServer extends AsyncDisposable {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
}

export async function startWireServer(respond: Respond): Promise<WireServer> {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const arrival = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body: await buffer(request) };
      arrivals.push(arrival);
      await respond(arrival, response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrivals,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function sendJson(response: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}

export function sendProblem(
  response: ServerResponse,
  problem: { readonly status?: number; readonly [member: string]: unknown },
  headers: Record<string, string> = {},
): void {
  const status = problem.status ?? 500;
  response.writeHead(status, { "content-type": "application/problem+json", ...headers }).end(JSON.stringify(problem));
}

export function startEvents(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "x-request-id": "stream-1" });
}
