import Negotiator from "negotiator";
import { ServableError } from "../../errors.ts";
import type { RequestHandler, ResponseHandler } from "./handler.ts";
import { essenceOf, isConcrete, matchesMediaType } from "./media-type.ts";

/** Headers are the client's to choose, so what is remembered of them is bounded: the memory is emptied when it is full. */
const maxRemembered = 64;
/** Longer headers are worked out each time, so that 64 of them can't hold on to much memory. */
const maxRememberedLength = 256;

const requestHandlers = new WeakMap<readonly RequestHandler[], Map<string, RequestHandler>>();
const responseTypes = new WeakMap<readonly ResponseHandler[], Map<string, string>>();

function memoryOf<K extends object, V>(memories: WeakMap<K, Map<string, V>>, key: K): Map<string, V> {
  let memory = memories.get(key);
  if (memory === undefined) memories.set(key, (memory = new Map<string, V>()));
  return memory;
}

function remember<V>(memory: Map<string, V>, key: string, value: V): V {
  if (key.length > maxRememberedLength) return value;
  if (memory.size >= maxRemembered) memory.clear();
  memory.set(key, value);
  return value;
}

/** Every media type, or pattern, that one of the handlers reads, in their order. */
function acceptedMediaTypes(handlers: readonly RequestHandler[]): readonly string[] {
  return [...new Set(handlers.flatMap((handler) => handler.mediaTypes))];
}

/** Every media type that can be asked for, in the handlers' order. */
function offeredMediaTypes(handlers: readonly ResponseHandler[], extraOffers: readonly string[] = []): readonly string[] {
  return [...new Set([...handlers.flatMap((handler) => handler.mediaTypes.filter(isConcrete)), ...extraOffers])];
}

/**
 * Picks the handler that reads a body.
 *
 * @param contentType - the Content-Type as sent; without one the first handler reads the body
 * @throws ServableError `unsupported_media_type` that lists what is taken, in words and as `details.accepted`
 */
export function selectRequestHandler(handlers: readonly RequestHandler[], contentType: string | undefined): RequestHandler {
  const first = handlers[0];
  if (first === undefined) throw new ServableError("unsupported_media_type", "This service takes no body.", { details: { accepted: [] } });
  if (contentType === undefined || contentType === "" || contentType === first.mediaTypes[0]) return first;
  // Parameters don't choose a handler, and a multipart boundary is different each time: neither may fill the memory.
  const end = contentType.indexOf(";");
  const key = end === -1 ? contentType : contentType.slice(0, end);
  const memory = memoryOf(requestHandlers, handlers);
  const known = memory.get(key);
  if (known !== undefined) return known;
  const essence = essenceOf(key);
  // An exact type is a better match than a pattern of an earlier handler.
  const handler =
    handlers.find(({ mediaTypes }) => mediaTypes.includes(essence)) ??
    handlers.find(({ mediaTypes }) => mediaTypes.some((pattern) => matchesMediaType(pattern, essence)));
  if (handler === undefined) throw unsupported(handlers, essence);
  return remember(memory, key, handler);
}

function unsupported(handlers: readonly RequestHandler[], essence: string): ServableError {
  const accepted = acceptedMediaTypes(handlers);
  const takesJson = accepted.includes("application/json");
  let message = `The content type ${quote(essence)} is not taken here; send ${listWords(accepted, "or")}.`;
  if (takesJson && essence === "application/x-www-form-urlencoded") {
    message += " curl -d sends this type unless told otherwise: add -H 'content-type: application/json'.";
  } else if (takesJson && essence === "text/plain") {
    message += " fetch sends this type for a text unless told otherwise: set the header content-type: application/json.";
  }
  return new ServableError("unsupported_media_type", message, { details: { accepted } });
}

/**
 * Picks the media type to answer with.
 *
 * @param accept - the Accept header as sent; without one the first handler's first type is chosen
 * @param extraOffers - types that something else than a handler writes (the framings of a stream); they come last
 * @throws ServableError `not_acceptable` that lists what there is, in words and as `details.available`
 */
export function negotiateResponse(
  handlers: readonly ResponseHandler[],
  accept: string | undefined,
  extraOffers: readonly string[] = [],
): string {
  const memory = memoryOf(responseTypes, handlers);
  // No Accept header can hold a line break, so that the key says one thing only.
  const key = extraOffers.length === 0 ? (accept ?? "*/*") : `${accept ?? "*/*"}\n${extraOffers.join(",")}`;
  const known = memory.get(key);
  if (known !== undefined) return known;
  const available = offeredMediaTypes(handlers, extraOffers);
  // An empty Accept header says nothing (RFC 9110 section 12.5.1), which negotiator would read as "nothing is acceptable".
  const header = accept === undefined || accept.trim() === "" ? "*/*" : accept;
  const chosen = new Negotiator({ headers: { accept: header } }).mediaType(available);
  if (chosen !== undefined) return remember(memory, key, chosen);
  throw new ServableError(
    "not_acceptable",
    `Nothing that the Accept header ${quote(header)} allows is written here; ask for ${listWords(available, "or")}.`,
    { details: { available } },
  );
}

/**
 * The handler that writes a media type which {@link negotiateResponse} chose; undefined for an extra offer.
 */
export function selectResponseHandler(handlers: readonly ResponseHandler[], mediaType: string): ResponseHandler | undefined {
  return handlers.find(({ mediaTypes }) => mediaTypes.includes(mediaType));
}

function quote(text: string): string {
  return `'${text.length > 60 ? `${text.slice(0, 60)}…` : text}'`;
}

function listWords(words: readonly string[], last: "or" | "and"): string {
  if (words.length < 2) return words[0] ?? "nothing";
  return `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}
