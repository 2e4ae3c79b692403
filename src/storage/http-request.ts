import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ServableError, messageOf } from "../errors.ts";
import { publicUri } from "./uri.ts";

/** One request. */
export interface HttpRequest {
  readonly method: "GET" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
  /** How long nothing may happen on the connection. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request and gives the answer when its head is there. Made on node:http, since `fetch` can neither send a stream with its length, which
 * stores ask for, nor leave a body as it is that says it is gzip, which a .tar.gz may.
 *
 * @throws ServableError `unavailable` for whatever happens on the way; the signal's reason where that aborted
 */
export async function sendRequest(url: URL, { method, headers, body, idleMs, signal }: HttpRequest): Promise<IncomingMessage> {
  signal?.throwIfAborted();
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (url.protocol === "https:" ? https : http).request(url, { method, headers, ...(signal !== undefined && { signal }) });
      let answer: IncomingMessage | undefined;
      // Who reads an answer hears only what that is destroyed with.
      request.setTimeout(idleMs, () => (answer ?? request).destroy(new Error(`nothing came for ${idleMs} ms`)));
      request.once("response", (response) => resolve((answer = response)));
      // There may be a second one when the first has ended the exchange.
      request.on("error", reject);
      // Node tells of an answer that changes the protocol (101) in no other way.
      request.once("close", () => reject(new Error("the connection was closed without an answer")));
      if (body === undefined) request.end();
      else pipeline(Readable.from(body, { objectMode: false }), request).catch(reject);
    });
  } catch (thrown) {
    throw networkFailure(thrown, url, signal);
  }
}

/** A failure on the way as an error that tells that one may try again. */
export function networkFailure(thrown: unknown, url: URL, signal: AbortSignal | undefined, what = "can't be reached"): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (ServableError.isInstance(thrown)) return thrown;
  return new ServableError("unavailable", `${publicUri(url.href)} ${what}: ${messageOf(thrown)}.`, { cause: thrown });
}
