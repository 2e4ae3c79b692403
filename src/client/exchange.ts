import { ServableError, messageOf } from "../errors.ts";
import { longestTimerMs, type CallClock } from "./call-clock.ts";
import { networkFailure } from "./network-failure.ts";
import type { ResolvedCall, ResolvedClient } from "./options.ts";
import { redirectFailure } from "./redirect.ts";
import type { RequestBody } from "./request-body.ts";

const firstBackoffMs = 100;
const longestBackoffMs = 5000;

/** One request, ready to be sent, and how its answer is read. */
export interface Exchange<T> {
  readonly client: ResolvedClient;
  readonly call: ResolvedCall;
  readonly clock: CallClock;
  /** Below the client's address. */
  readonly path: string;
  /** @default POST */
  readonly method?: "GET" | "POST" | undefined;
  /** The media types that it can read. */
  readonly accept: string;
  /** Whether it only reads, so that sending it once more is safe whatever became of it. @default false */
  readonly idempotent?: boolean | undefined;
  readonly encode: () => RequestBody | Promise<RequestBody>;
  /** Reads a success. */
  readonly read: (response: Response) => Promise<T>;
  /** Reads an answer that is none. */
  readonly readFailure: (response: Response, requestId: string | undefined) => Promise<ServableError>;
}

/** Sends a request, again where that is safe, and reads its answer. The clock stays open, unless it fails. */
export async function exchange<T>(outgoing: Exchange<T>): Promise<T> {
  const { clock, call, idempotent = false } = outgoing;
  try {
    clock.signal.throwIfAborted();
    const token = await readToken(outgoing);
    const body = await clock.race(Promise.resolve(outgoing.encode()));
    clock.onClose(body.stop);
    for (let attempt = 0; ; attempt++) {
      const outcome = await attemptOnce(outgoing, body, token);
      if ("answer" in outcome) return outcome.answer;
      const { failure } = outcome;
      const delayMs = retryDelay(failure, attempt, Math.random(), idempotent);
      if (delayMs === undefined || attempt >= call.retries || body.streamed || delayMs >= clock.remainingMs) throw failure;
      await clock.sleep(delayMs);
    }
  } catch (thrown) {
    clock.close();
    throw clock.error ?? thrown;
  }
}

/**
 * How long to wait before a call is sent again; undefined where that is not safe, or the server asks for more time than a timer can wait.
 *
 * @param random - from 0 up to 1: spreads clients that were turned away together
 * @param idempotent - whether it may be sent again also where nobody knows what became of it
 */
export function retryDelay(error: ServableError, attempt: number, random: number, idempotent = false): number | undefined {
  const safe = error.code === "overloaded" || error.code === "not_ready" || (idempotent && error.code === "unavailable");
  if (!safe) return undefined;
  if (error.retryAfterMs !== undefined) {
    // Never earlier than the server asks for: what no timer can wait for is never.
    const delayMs = error.retryAfterMs * (1 + random / 4);
    return delayMs > longestTimerMs ? undefined : delayMs;
  }
  const backoffMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** attempt);
  return backoffMs * (0.5 + random / 2);
}

type Outcome<T> = { readonly answer: T } | { readonly failure: ServableError };

/** @returns the answer, or the failure, where it may be worth another attempt */
async function attemptOnce<T>(outgoing: Exchange<T>, body: RequestBody, token: string | undefined): Promise<Outcome<T>> {
  const { client, call, clock } = outgoing;
  const headers = buildHeaders(outgoing, body, token);
  let response: Response;
  try {
    const payload = typeof body.body === "function" ? body.body() : body.body;
    const init: RequestInit = { method: outgoing.method ?? "POST", headers, body: payload, signal: clock.signal, redirect: "manual" };
    if (payload instanceof ReadableStream) init.duplex = "half";
    response = await clock.race(client.fetch(client.urlOf(outgoing.path), init));
  } catch (thrown) {
    const known = clock.error ?? body.failure();
    if (known !== undefined) throw known;
    return { failure: networkFailure(thrown, `Could not reach ${client.origin}`, call.requestId) };
  }
  const redirect = redirectFailure(response, client.origin, call.requestId);
  if (redirect !== undefined) {
    response.body?.cancel().catch(() => undefined);
    throw redirect;
  }
  try {
    if (!response.ok) return { failure: await clock.race(outgoing.readFailure(response, call.requestId)) };
    return { answer: await outgoing.read(response) };
  } catch (thrown) {
    if (clock.error !== undefined) throw clock.error;
    if (ServableError.isInstance(thrown)) throw thrown;
    const known = body.failure();
    if (known !== undefined) throw known;
    return { failure: networkFailure(thrown, `The answer from ${client.origin} broke off`, call.requestId) };
  }
}

async function readToken<T>({ client, clock }: Exchange<T>): Promise<string | undefined> {
  if (typeof client.token !== "function") return client.token;
  try {
    return await clock.race(Promise.resolve(client.token()));
  } catch (thrown) {
    if (clock.error !== undefined) throw clock.error;
    throw new ServableError("unauthenticated", `The client's token function failed: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function buildHeaders<T>({ client, call, clock, accept }: Exchange<T>, body: RequestBody, token: string | undefined): Headers {
  try {
    const headers = new Headers({ accept });
    if (body.contentType !== undefined) headers.set("content-type", body.contentType);
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    if (call.requestId !== undefined) headers.set("x-request-id", call.requestId);
    if (Number.isFinite(clock.remainingMs)) headers.set("x-timeout-ms", String(Math.max(1, Math.ceil(clock.remainingMs))));
    for (const [name, value] of [...Object.entries(client.headers), ...Object.entries(call.headers)]) headers.set(name, value);
    // Without these the body could not be read: they are its own.
    for (const [name, value] of Object.entries(body.headers ?? {})) headers.set(name, value);
    // Only fetch knows the boundary of the form that it writes.
    if (body.contentType === undefined) headers.delete("content-type");
    return headers;
  } catch (thrown) {
    throw new ServableError("invalid_argument", `A header can't be sent: ${messageOf(thrown)}`, { cause: thrown });
  }
}
