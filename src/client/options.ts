import { ServableError, messageOf } from "../errors.ts";
import type { KeysOf } from "../known-keys.ts";

/** The part of `fetch` that a client needs; the global `fetch` fits. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** How a client reaches its services. */
export interface ClientOptions {
  /** A bearer token, or a function that gives one, asked before every call. @default none */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** Headers of every request. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sends the requests; for tests, proxies, and hosts with a `fetch` of their own. @default the global fetch */
  readonly fetch?: Fetch | undefined;
  /** See {@link CallOptions.timeoutMs}. @default 30000 */
  readonly timeoutMs?: number | undefined;
  /** See {@link CallOptions.retries}. @default 2 */
  readonly retries?: number | undefined;
}

/** The keys of {@link ClientOptions}. */
export const clientKeys: KeysOf<ClientOptions> = { token: true, headers: true, fetch: true, timeoutMs: true, retries: true };

/** How one call is made. What is left out comes from the client's own options. */
export interface CallOptions {
  /** Cancels the call. @default none */
  readonly signal?: AbortSignal | undefined;
  /**
   * Time for the whole answer, retries included; of a stream: to its start, then from asking for an item to getting it. The
   * server is told (`x-timeout-ms`) and stops working when it is up. `Infinity` for none.
   *
   * @default the client's
   */
  readonly timeoutMs?: number | undefined;
  /** Headers of this request, over those of the client. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Names the request in the server's logs and in errors. @default one that the server makes */
  readonly requestId?: string | undefined;
  /**
   * How many times more a call is sent after `overloaded` or `not_ready`, which say that it was turned away before any work on
   * it began. After any other failure a call is never sent again, and neither is one whose input is a stream. 0 for never.
   *
   * @default the client's
   */
  readonly retries?: number | undefined;
}

/** The keys of {@link CallOptions}. */
export const callKeys: KeysOf<CallOptions> = { signal: true, timeoutMs: true, headers: true, requestId: true, retries: true };

/** {@link ClientOptions} with the address, checked, and with every default filled. */
export interface ResolvedClient {
  /** For messages: scheme, host and port. */
  readonly origin: string;
  /** The address of a path below the client's own. */
  readonly urlOf: (path: string) => string;
  readonly token: ClientOptions["token"];
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly timeoutMs: number;
  readonly retries: number;
}

/** {@link CallOptions}, checked, with every default filled. */
export interface ResolvedCall {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestId: string | undefined;
  readonly retries: number;
}

/** @throws ServableError `invalid_argument` for an address or an option that makes no sense */
export function resolveClient(url: string | URL, options: ClientOptions): ResolvedClient {
  const address = parseAddress(url);
  const path = address.pathname.replace(/\/+$/, "");
  const { fetch } = options;
  return Object.freeze({
    origin: address.origin,
    urlOf: (below: string) => `${address.origin}${path}/${below}${address.search}`,
    token: options.token,
    headers: { ...options.headers },
    // Looked up at each call, so that a fetch put in place later (by a test, by instrumentation) is used.
    fetch: fetch ?? ((target, init) => globalThis.fetch(target, init)),
    timeoutMs: checkTimeout(options.timeoutMs ?? 30_000),
    retries: checkRetries(options.retries ?? 2),
  });
}

/** @throws ServableError `invalid_argument` for an option that makes no sense */
export function resolveCall(client: ResolvedClient, options: CallOptions): ResolvedCall {
  return Object.freeze({
    signal: options.signal,
    timeoutMs: checkTimeout(options.timeoutMs ?? client.timeoutMs),
    headers: { ...options.headers },
    requestId: options.requestId,
    retries: checkRetries(options.retries ?? client.retries),
  });
}

function parseAddress(url: string | URL): URL {
  let address: URL;
  try {
    address = new URL(url, pageAddress());
  } catch (thrown) {
    throw new ServableError("invalid_argument", `'${String(url)}' is not a URL: write it like http://127.0.0.1:3000.`, { cause: thrown });
  }
  if (address.protocol !== "http:" && address.protocol !== "https:") {
    throw new ServableError(
      "invalid_argument",
      `The client speaks http: and https:, not ${address.protocol} Write the URL like http://127.0.0.1:3000.`,
    );
  }
  if (address.username !== "" || address.password !== "") {
    throw new ServableError("invalid_argument", "The URL carries a user name or a password; pass `token` or `headers` instead.");
  }
  return address;
}

/** The page (or worker script) that this runs in, to which a URL such as `/` is relative; none outside a browser. */
function pageAddress(): string | undefined {
  const location: unknown = Reflect.get(globalThis, "location");
  return typeof location === "object" && location !== null && "href" in location ? String(location.href) : undefined;
}

function checkTimeout(timeoutMs: number): number {
  if (typeof timeoutMs === "number" && timeoutMs > 0) return timeoutMs;
  throw new ServableError("invalid_argument", `timeoutMs must be a number above 0, or Infinity; it is ${messageOf(timeoutMs)}.`);
}

function checkRetries(retries: number): number {
  if (Number.isInteger(retries) && retries >= 0) return retries;
  throw new ServableError("invalid_argument", `retries must be a whole number from 0; it is ${messageOf(retries)}.`);
}
