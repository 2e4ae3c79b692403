/** The shapes of one HTTP call, whatever the host. */
import type { ServableError } from "../../errors.ts";

/** Makes a reading fail early. */
export type AbortReading = (error: ServableError) => void;

/** A request's body, read at most once. */
export interface BodySource {
  /**
   * Reads all of it. Exactly one of the two is called, once: `failed` with `payload_too_large`, with `invalid_request` where the body
   * breaks off, or with what the reading was aborted with.
   */
  whole(maxBytes: number, done: (body: Uint8Array) => void, failed: (error: unknown) => void): AbortReading;
  /** As it comes. */
  chunks(): AsyncIterable<Uint8Array>;
}

/** One call, as a host sees it. */
export interface HttpCall {
  readonly requestId: string;
  readonly contentType: string | undefined;
  readonly contentLength: number | undefined;
  readonly accept: string | undefined;
  /** The header `x-timeout-ms`. */
  readonly timeoutMs: string | undefined;
  /** Read when a service asks for it. */
  metadata(): Readonly<Record<string, string>>;
  /** All of it where it has come already: no more of it than the content length says. */
  readonly body: BodySource | Uint8Array;
  /** Names what to do when the client goes away before the answer is out. */
  onGone(callback: () => void): void;
}

interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** An answer that is there as a whole. */
export interface WholeAnswer extends Head {
  readonly body: string | Uint8Array;
}

/** An answer that comes bit by bit. */
export interface StreamedAnswer extends Head {
  readonly body: AsyncIterable<string | Uint8Array>;
}

/** What a host sends back, with the header `x-request-id` besides. */
export type HttpAnswer = WholeAnswer | StreamedAnswer;

export function isStream(answer: HttpAnswer): answer is StreamedAnswer {
  return typeof answer.body !== "string" && !(answer.body instanceof Uint8Array);
}

/** Takes the answer, once. */
export type Deliver = (answer: HttpAnswer) => void;
