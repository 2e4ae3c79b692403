import { setTimeout as pause } from "node:timers/promises";
import { ServableError } from "../../errors.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import type { ServiceSource } from "../../engine/service-source.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { BodySource, HttpAnswer, HttpCall } from "./call.ts";
import { answerBatchCall, answerCall, problemAnswer, tooLarge } from "./exchange.ts";
import { metadataOf, requestIdOf } from "./head.ts";
import { answerHealth } from "./health-front.ts";
import { LazyEngine } from "./lazy-engine.ts";
import { answerOpenApi } from "./openapi-answer.ts";
import { toWireError } from "./problem.ts";

/** How a {@link FetchHandler} is made. */
export interface FetchHandlerOptions {
  /** What stands before the routes, such as `/ml`. @default none */
  readonly basePath?: string | undefined;
  /** Gets a line for each request, and what goes wrong. @default pino at level error, to standard output: what goes wrong */
  readonly log?: EngineLogger | undefined;
  readonly observers?: readonly Observer[] | undefined;
}

const keys = { basePath: true, log: true, observers: true } satisfies KeysOf<FetchHandlerOptions>;

/** Answers requests of any host that speaks fetch: Bun, Deno, Hono, Next.js, service workers. */
export interface FetchHandler {
  (request: Request): Promise<Response>;
  /**
   * Sets the services up; the first request does it, too. Where that failed it is tried again, at most once a second.
   *
   * @throws ServableError `load_failed`, `invalid_config`
   */
  start(): Promise<void>;
  /** Lets what is in flight finish within the grace time, then closes the services. @param graceMs - default 30000 */
  close(graceMs?: number): Promise<void>;
}

/**
 * Makes a fetch handler of one service or several; they are set up at the first request, which waits for it.
 *
 * It answers the calls (`POST /{service}` and `POST /{service}/batch`), the health routes, which never wait (`GET /livez`, `/startupz`,
 * `/readyz`), and `GET /openapi.json`. There is no `/metrics` and no page: the host has its own way to both, and an
 * {@link Observer} sees all that metrics are made of. Who may call, pages of other origins included, is the host's to decide.
 *
 * Services that can't be set up are logged, calls get `not_ready` (503), and the next request tries again.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { fetchHandler } from "servable/http";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const handle = fetchHandler(hello);
 * const headers = { "content-type": "application/json" };
 * const response = await handle(new Request("http://localhost/hello", { method: "POST", headers, body: "null" }));
 * ```
 */
export function fetchHandler(services: ServiceSource | readonly ServiceSource[], options: FetchHandlerOptions = {}): FetchHandler {
  refuseUnknownKeys(options, keys, "fetchHandler");
  const list = Array.isArray(services) ? (services as readonly ServiceSource[]) : [services as ServiceSource];
  const host = new LazyEngine({ services: list, log: options.log, observers: options.observers ?? [] });
  const basePath = (options.basePath ?? "").replace(/\/+$/, "");
  const handle = async (request: Request): Promise<Response> => {
    const requestId = requestIdOf(request.headers.get("x-request-id") ?? undefined);
    const gone = new AbortController();
    const leave = (): void => {
      gone.abort();
    };
    if (request.signal.aborted) leave();
    else request.signal.addEventListener("abort", leave, { once: true });
    const since = performance.now();
    let settled: HttpAnswer;
    try {
      settled = await answer(host, request, { basePath, requestId, gone: gone.signal, since });
    } catch (thrown) {
      const error = toWireError(thrown);
      host.refused(requestId, error, performance.now() - since);
      settled = problemAnswer(error, requestId);
    }
    return toResponse(settled, requestId, leave);
  };
  return Object.assign(handle, {
    start: async () => {
      await host.start();
    },
    close: async (graceMs = 30_000) => {
      await host.close(graceMs);
    },
  });
}

interface Arrival {
  readonly basePath: string;
  readonly requestId: string;
  readonly gone: AbortSignal;
  readonly since: number;
}

const ownPaths: ReadonlySet<string> = new Set(["/livez", "/startupz", "/readyz", "/openapi.json"]);

async function answer(host: LazyEngine, request: Request, { basePath, requestId, gone, since }: Arrival): Promise<HttpAnswer> {
  const { pathname } = new URL(request.url);
  const path = pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : undefined;
  if (path !== undefined && ownPaths.has(path)) {
    if (request.method !== "GET" && request.method !== "HEAD") throw wrongMethod(pathname, "GET", request.method);
    host.begin();
    return path === "/openapi.json" ? answerDocument(host) : answerHealth(host.status(), path.slice(1) as "livez" | "startupz" | "readyz");
  }
  const engine = await host.ready();
  const [, name = "", batch] = /^\/([^/]+)(\/batch)?$/.exec(path ?? "") ?? [];
  const definition = engine.definitions.get(name);
  if (definition === undefined) throw engine.unknownService(name === "" ? pathname : name);
  if (request.method !== "POST") {
    const error = wrongMethod(pathname, "POST", request.method);
    engine.refused(requestId, name, error, performance.now() - since);
    return problemAnswer(error, requestId);
  }
  const call = toCall(request, requestId, gone);
  if (batch !== undefined) return answerBatchCall(engine, definition, call);
  return new Promise((resolve) => {
    answerCall(engine, definition, call, resolve);
  });
}

async function answerDocument(host: LazyEngine): Promise<HttpAnswer> {
  const engine = await host.loaded().catch(() => host.ready());
  return answerOpenApi(engine, { authenticated: false, metrics: false });
}

function wrongMethod(path: string, method: string, used: string): ServableError {
  return new ServableError("method_not_allowed", `${path} takes ${method}, not ${used}.`, { details: { allow: [method] } });
}

function toCall(request: Request, requestId: string, gone: AbortSignal): HttpCall {
  const { headers } = request;
  const length = headers.get("content-length");
  return {
    requestId,
    contentType: headers.get("content-type") ?? undefined,
    contentLength: length === null ? undefined : Number(length),
    accept: headers.get("accept") ?? undefined,
    timeoutMs: headers.get("x-timeout-ms") ?? undefined,
    metadata: () => metadataOf(Object.fromEntries(headers)),
    body: fetchBody(request),
    onGone(callback) {
      if (gone.aborted) callback();
      else gone.addEventListener("abort", callback, { once: true });
    },
  };
}

function fetchBody(request: Request): BodySource {
  const chunks = (): AsyncIterable<Uint8Array> => (request.body ?? []) as AsyncIterable<Uint8Array>;
  return {
    chunks,
    whole(maxBytes, done, failed) {
      let settled = false;
      const once =
        <T>(tell: (value: T) => void) =>
        (value: T): void => {
          if (settled) return;
          settled = true;
          tell(value);
        };
      const fail = once(failed);
      readAll(chunks(), maxBytes).then(once(done), fail);
      return fail;
    },
  };
}

async function readAll(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of chunks) {
    size += part.byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    parts.push(part);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

/** @param onGone - called when the reader of a streamed answer leaves, which not every host tells by the request's signal */
function toResponse({ status, headers: own, body }: HttpAnswer, requestId: string, onGone: () => void): Response {
  const headers = { ...own, "x-request-id": requestId };
  if (typeof body === "string" || body instanceof Uint8Array)
    return new Response(body as ConstructorParameters<typeof Response>[0], { status, headers });
  const iterator = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next().catch(brokenOff);
      if (next.done === true) controller.close();
      else controller.enqueue(typeof next.value === "string" ? encoder.encode(next.value) : next.value);
    },
    async cancel() {
      onGone();
      await iterator.return?.();
    },
  });
  return new Response(stream, { status, headers });
}

/** What was made before a failure gets out first, as far as that can be had here: a host may cut its connection at once. */
async function brokenOff(thrown: unknown): Promise<never> {
  await pause(10);
  throw thrown;
}
