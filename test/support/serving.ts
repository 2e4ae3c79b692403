/** Real runtimes on free ports, and what tests ask of their answers. */
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { HttpRuntime, type EngineLogger, type HttpRuntimeOptions, type RequestEvent } from "servable/http";
import { expect } from "vitest";

/** One line of a log. */
export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string | undefined;
}

/** A logger that keeps its lines, as pino would write them. */
export function keepLog(lines: LogLine[] = [], bound: Readonly<Record<string, unknown>> = {}): EngineLogger {
  const method =
    (level: LogLine["level"]) =>
    (fields: object | string, message?: string): void => {
      const [own, text] = typeof fields === "string" ? [{}, fields] : [fields, message];
      lines.push({ level, fields: { ...bound, ...own }, message: text });
    };
  return {
    debug: method("debug"),
    info: method("info"),
    warn: method("warn"),
    error: method("error"),
    child: (fields) => keepLog(lines, { ...bound, ...fields }),
  };
}

/** A runtime that serves, with what it logged and what its observer saw. */
export interface Serving extends AsyncDisposable {
  readonly runtime: HttpRuntime;
  readonly url: string;
  readonly port: number;
  readonly lines: LogLine[];
  readonly events: RequestEvent[];
  /** Posts JSON text. */
  post(
    path: string,
    body?: string | Uint8Array | ReadableStream,
    headers?: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<Response>;
  get(path: string, init?: RequestInit): Promise<Response>;
}

/** Starts services on a free port of this machine. */
export async function serve(services: HttpRuntimeOptions["services"], options: Partial<HttpRuntimeOptions> = {}): Promise<Serving> {
  const lines: LogLine[] = [];
  const events: RequestEvent[] = [];
  const observers = [{ requestFinished: (event: RequestEvent) => void events.push(event) }, ...(options.observers ?? [])];
  const runtime = new HttpRuntime({ services, port: 0, graceMs: 2_000, log: keepLog(lines), ...options, observers });
  await runtime.start();
  const { url } = runtime;
  return {
    runtime,
    url,
    port: Number(new URL(url).port),
    lines,
    events,
    post: (path, body = "null", headers = {}, signal) =>
      fetch(url + path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
        ...(signal && { signal }),
        ...(body instanceof ReadableStream && { duplex: "half" }),
      }),
    get: (path, init) => fetch(url + path, init),
    [Symbol.asyncDispose]: () => runtime.stop(),
  };
}

/** What must never be in a problem. */
const leaks = [/\/work\b/, /node_modules/, /\n\s+at /, /\.[cm]?[jt]s:\d+/, /file:\/\//, process.cwd()];

/** Checks everything that holds of every problem, and gives its members. */
export async function problemOf(response: Response, status: number, code: string): Promise<Record<string, unknown>> {
  const text = await response.text();
  expect(text, "a problem's body").not.toBe("");
  const problem = JSON.parse(text) as Record<string, unknown>;
  expect({ status: response.status, code: problem.code }, text).toEqual({ status, code });
  expect(response.headers.get("content-type")).toMatch(/^application\/problem\+json(; charset=utf-8)?$/);
  expect(problem).toMatchObject({ type: "about:blank", status, title: expect.stringMatching(/^[A-Z][a-z ]+$/) as string });
  expect(problem.detail).toMatch(/\S.*[.!]$/s);
  expect(response.headers.get("x-request-id")).toBe(problem.requestId);
  expectNoLeak(text);
  return problem;
}

export function expectNoLeak(text: string): void {
  for (const leak of leaks) expect(text).not.toMatch(leak);
}

/** Waits for what will come. */
export async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (condition()) return;
    await pause(10);
  }
  throw new Error(`waited 10 s in vain for ${what}`);
}

/** A promise with its handles. */
export function deferred<T = void>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** A bare connection, for what no HTTP client would send. */
export interface RawConnection extends Disposable {
  readonly socket: Socket;
  write(text: string | Uint8Array): void;
  /** Everything that came so far. */
  received(): string;
  /** Resolves with everything that came when the other side has closed. */
  readonly closed: Promise<string>;
}

export async function openRaw(port: number): Promise<RawConnection> {
  const socket = connect(port, "127.0.0.1");
  const parts: Buffer[] = [];
  const received = (): string => Buffer.concat(parts).toString();
  socket.on("data", (part) => parts.push(part));
  socket.on("error", () => undefined);
  const closed = new Promise<string>((resolve) => {
    socket.once("close", () => {
      resolve(received());
    });
  });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return {
    socket,
    write: (text) => void socket.write(text),
    received,
    closed,
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** An HTTP answer as it came over a {@link RawConnection}, as a Response. */
export function parseAnswer(text: string): Response {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const headers = lines.map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  return new Response(rest.join("\r\n\r\n"), { status: Number(statusLine.split(" ")[1]), headers });
}
