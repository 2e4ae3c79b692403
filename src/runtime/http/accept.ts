import { ServableError } from "../../errors.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { negotiateResponse } from "../../service/handlers/negotiate.ts";
import type { ResponseHandler } from "../../service/handlers/handler.ts";

/** How a stream of JSON items is framed. */
export type Framing = "text/event-stream" | "application/x-ndjson";

/** What the answer will look like. */
export interface Answer {
  /** The media type of one value, one of the response handlers'. */
  readonly responseType: string;
  /** How a stream goes out; undefined where the client takes none. */
  readonly framing: Framing | "raw" | undefined;
  /** Whether the client takes only a framed answer, so that a single value is framed, too. */
  readonly framedOnly: boolean;
}

const json = "application/json";
// The first is what a client gets that takes everything.
const framings = ["application/x-ndjson", "text/event-stream"] as const;
const none: readonly ResponseHandler[] = [];

/** What a client without preferences gets, by service: nearly every client is one. */
const defaults = new WeakMap<AnyServiceDefinition, Answer>();

/**
 * Chooses the form of the answer from the Accept header.
 *
 * @throws ServableError `not_acceptable`
 */
export function negotiateAnswer(definition: AnyServiceDefinition, accept: string | undefined): Answer {
  if (accept !== undefined && accept !== "*/*") return negotiate(definition, accept);
  let answer = defaults.get(definition);
  if (answer === undefined) defaults.set(definition, (answer = negotiate(definition, accept)));
  return answer;
}

function negotiate(definition: AnyServiceDefinition, accept: string | undefined): Answer {
  const { response } = definition;
  const writesJson = response.some(({ mediaTypes }) => mediaTypes.includes(json));
  const chosen = negotiateResponse(response, accept, writesJson ? framings : []);
  if (isFraming(chosen)) return { responseType: json, framing: chosen, framedOnly: true };
  if (chosen !== json) return { responseType: chosen, framing: "raw", framedOnly: false };
  const framing = framingFor(accept);
  if (framing === undefined && definition.outputStream === true) throw streamNotAcceptable();
  return { responseType: json, framing, framedOnly: false };
}

/** The error for a stream that the client can't take. */
export function streamNotAcceptable(): ServableError {
  return new ServableError("not_acceptable", `This service answers with a stream: accept ${framings.join(" or ")}.`, {
    details: { available: framings },
  });
}

function framingFor(accept: string | undefined): Framing | undefined {
  if (accept === undefined || accept === "*/*") return framings[0];
  if (accept === json) return undefined;
  try {
    const chosen = negotiateResponse(none, accept, framings);
    return isFraming(chosen) ? chosen : undefined;
  } catch {
    return undefined;
  }
}

function isFraming(mediaType: string): mediaType is Framing {
  return mediaType === framings[0] || mediaType === framings[1];
}
