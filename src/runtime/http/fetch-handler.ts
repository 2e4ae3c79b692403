import { ServableError } from "../../errors.ts";
import { Engine, type ServiceSource } from "../../engine/engine.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import { answerBatchCall, answerCall, problemAnswer, tooLarge, type BodySource, type HttpAnswer, type HttpCall } from "./exchange.ts";
import { metadataOf, requestIdOf } from "./head.ts";
import { answerHealth } from "./health-front.ts";
import { answerOpenApi } from "./openapi-answer.ts";

/** How a {@link FetchHandler} is made. */
export interface FetchHandlerOptions {
  /** What stands before the routes, such as `/ml`. @default none */
  readonly basePath?: string | undefined;
  /** @default none: the host has a log of its own */
  readonly log?: EngineLogger | undefined;
  readonly observers?: readonly Observer[] | undefined;
}

/** Answers requests of any host that speaks fetch: Bun, Deno, Hono, Next.js, service workers. */
export interface FetchHandler {
  (request: Request): Promise<Response>;
  /** Sets the services up; the first request does it, too. @throws ServableError `load_failed`, `invalid_config` */
  start(): Promise<void>;
  /** Lets what is in flight finish within the grace time, then closes the services. @param graceMs - default 30000 */
  close(graceMs?: number): Promise<void>;
}

const noMethod = (): undefined => undefined;
const silent: EngineLogger = { debug: noMethod, info: noMethod, warn: noMethod, error: noMethod, child: () => silent };

/**
 * Makes a fetch handler of one service or several; they are set up at the first request.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { fetchHandler } from "servable/http";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const handle = fetchHandler(hello);
 * const response = await handle(new Request("http://localhost/hello", { method: "POST", body: "null" }));
 * ```
 */
export function fetchHandler(services: ServiceSource | readonly ServiceSource[], options: FetchHandlerOptions = {}): FetchHandler {
  const list = Array.isArray(services) ? (services as readonly ServiceSource[]) : [services as ServiceSource];
  const engine = new Engine({ services: list, log: options.log ?? silent, observers: options.observers });
  const basePath = (options.basePath ?? "").replace(/\/+$/, "");
  let started: Promise<void> | undefined;
  const start = (): Promise<void> => {
    started ??= engine.start();
    return started;
  };
  const handle = async (request: Request): Promise<Response> => {
    const requestId = requestIdOf(request.headers.get("x-request-id") ?? undefined);
    try {
      await start();
    } catch (thrown) {
      return toResponse(problemAnswer(thrown, requestId), requestId, noMethod);
    }
    const gone = new AbortController();
    const leave = (): void => {
      gone.abort();
    };
    if (request.signal.aborted) leave();
    else request.signal.addEventListener("abort", leave, { once: true });
    return toResponse(await answer(engine, request, basePath, requestId, gone.signal), requestId, leave);
  };
  return Object.assign(handle, {
    start,
    close: async (graceMs = 30_000) => {
      await engine.stop(graceMs);
    },
  });
}

async function answer(engine: Engine, request: Request, basePath: string, requestId: string, gone: AbortSignal): Promise<HttpAnswer> {
  const { pathname } = new URL(request.url);
  const path = pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : undefined;
  const [, name = "", batch] = /^\/([^/]+)(\/batch)?$/.exec(path ?? "") ?? [];
  const definition = engine.definitions.get(name);
  const refuse = (error: ServableError): HttpAnswer => {
    engine.refused(requestId, definition?.name, error, 0);
    return problemAnswer(error, requestId);
  };
  if (definition !== undefined) {
    if (request.method !== "POST") return refuse(wrongMethod(pathname, "POST", request.method));
    const call = toCall(request, requestId, gone);
    return batch === undefined ? answerCall(engine, definition, call) : answerBatchCall(engine, definition, call);
  }
  if (path === "/livez" || path === "/startupz" || path === "/readyz" || path === "/openapi.json") {
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(wrongMethod(pathname, "GET", request.method));
    return path === "/openapi.json" ? answerOpenApi(engine, false) : answerHealth(engine, path.slice(1) as "livez" | "startupz" | "readyz");
  }
  return refuse(engine.unknownService(name === "" ? pathname : name));
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
    whole: (maxBytes, onStart) =>
      new Promise((resolve, reject) => {
        onStart?.(reject);
        readAll(chunks(), maxBytes).then(resolve, reject);
      }),
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
  const headers = { "x-request-id": requestId, ...own };
  if (typeof body === "string" || body instanceof Uint8Array)
    return new Response(body as ConstructorParameters<typeof Response>[0], { status, headers });
  const iterator = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
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
