import { ServableError, messageOf } from "../errors.ts";
import { readAnswer, type Answer, type Source } from "./answer.ts";
import type { CallClock } from "./call-clock.ts";
import { networkFailure } from "./network-failure.ts";
import type { ResolvedCall, ResolvedClient } from "./options.ts";
import { errorFromResponse } from "./problem.ts";
import type { RequestBody } from "./request-body.ts";

// A stream is asked for as events, which tell its end from its breaking off. What else there is, the service knows best.
const accept = "application/json, text/event-stream;q=0.9, */*;q=0.1";
const firstBackoffMs = 100;
const longestBackoffMs = 5000;

/** One call, ready to be sent. */
export interface OutgoingCall {
  readonly client: ResolvedClient;
  readonly call: ResolvedCall;
  readonly clock: CallClock;
  readonly source: Source;
  /** Below the client's address. */
  readonly path: string;
  readonly encode: () => RequestBody | Promise<RequestBody>;
}

/** Sends a call, again where that is safe, and reads its answer. */
export async function send(outgoing: OutgoingCall): Promise<Answer> {
  const { clock, call } = outgoing;
  try {
    clock.signal.throwIfAborted();
    const token = await readToken(outgoing);
    const body = await clock.race(Promise.resolve(outgoing.encode()));
    clock.onClose(body.stop);
    for (let attempt = 0; ; attempt++) {
      const answer = await attemptOnce(outgoing, body, token);
      if (!ServableError.isInstance(answer)) {
        if (answer.kind === "value") clock.close();
        return answer;
      }
      const delayMs = retryDelay(answer, attempt, Math.random());
      if (delayMs === undefined || attempt >= call.retries || body.streamed || delayMs >= clock.remainingMs) throw answer;
      await clock.sleep(delayMs);
    }
  } catch (thrown) {
    clock.close();
    throw clock.error ?? thrown;
  }
}

/**
 * How long to wait before a call is sent again; undefined where that is not safe.
 *
 * @param random - from 0 up to 1: spreads clients that were turned away together
 */
export function retryDelay(error: ServableError, attempt: number, random: number): number | undefined {
  if (error.code !== "overloaded" && error.code !== "not_ready") return undefined;
  // Never earlier than the server asks for.
  if (error.retryAfterMs !== undefined) return error.retryAfterMs * (1 + random / 4);
  const backoffMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** attempt);
  return backoffMs * (0.5 + random / 2);
}

/** @returns the answer, or the error that the server gave, which may be worth another attempt */
async function attemptOnce(outgoing: OutgoingCall, body: RequestBody, token: string | undefined): Promise<Answer | ServableError> {
  const { client, call, clock, source } = outgoing;
  const headers = buildHeaders(outgoing, body, token);
  let response: Response;
  try {
    const init: RequestInit = { method: "POST", headers, body: body.body, signal: clock.signal };
    if (body.streamed) init.duplex = "half";
    response = await clock.race(client.fetch(client.urlOf(outgoing.path), init));
  } catch (thrown) {
    throw clock.error ?? body.failure() ?? networkFailure(thrown, `Could not reach ${client.origin}`, call.requestId);
  }
  try {
    if (!response.ok) return await clock.race(errorFromResponse(response, call.requestId));
    return await readAnswer(response, clock, source);
  } catch (thrown) {
    if (clock.error !== undefined) throw clock.error;
    if (ServableError.isInstance(thrown)) throw thrown;
    throw body.failure() ?? networkFailure(thrown, `The answer from ${client.origin} broke off`, call.requestId);
  }
}

async function readToken({ client, clock }: OutgoingCall): Promise<string | undefined> {
  if (typeof client.token !== "function") return client.token;
  try {
    return await clock.race(Promise.resolve(client.token()));
  } catch (thrown) {
    if (clock.error !== undefined) throw clock.error;
    throw new ServableError("unauthenticated", `The client's token function failed: ${messageOf(thrown)}`, { cause: thrown });
  }
}

function buildHeaders({ client, call, clock }: OutgoingCall, body: RequestBody, token: string | undefined): Headers {
  try {
    const headers = new Headers({ accept });
    if (body.contentType !== undefined) headers.set("content-type", body.contentType);
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    if (call.requestId !== undefined) headers.set("x-request-id", call.requestId);
    if (Number.isFinite(clock.remainingMs)) headers.set("x-timeout-ms", String(Math.max(1, Math.ceil(clock.remainingMs))));
    for (const [name, value] of [...Object.entries(client.headers), ...Object.entries(call.headers)]) headers.set(name, value);
    // Only fetch knows the boundary of the form that it writes.
    if (body.contentType === undefined) headers.delete("content-type");
    return headers;
  } catch (thrown) {
    throw new ServableError("invalid_argument", `A header can't be sent: ${messageOf(thrown)}`, { cause: thrown });
  }
}
