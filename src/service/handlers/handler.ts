import type { JsonSchema } from "../schema.ts";
import type { MaybePromise } from "../service.ts";

/** A request's body as it arrived. */
export interface Payload {
  /** The Content-Type with its parameters, as sent; undefined where there was none. */
  readonly contentType: string | undefined;
  /** The body. It may be a view on a larger buffer; a handler that keeps it must copy it. */
  readonly body: Uint8Array;
}

/** What a handler knows besides the payload. */
export interface HandlerContext {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** The media type to write, one of the handler's own; only for responses. */
  readonly mediaType: string;
}

/**
 * Turns bytes into what a service takes. Plug in your own for any format.
 *
 * @typeParam I - what `call` gets
 * @typeParam W - what a typed client passes in; I unless it says otherwise
 */
export interface RequestHandler<I = unknown, W = I> {
  /** What it reads, such as `application/json` or `image/*`; the first one is its main type. */
  readonly mediaTypes: readonly string[];
  /** How OpenAPI describes the body, where the service's input schema is not the answer. */
  readonly bodySchema?: JsonSchema;
  /** The same for some of its media types, where they differ. */
  readonly bodySchemas?: Readonly<Record<string, JsonSchema>>;
  /**
   * Reads one body. Whatever it throws is the client's fault (`invalid_request`), unless it throws a ServableError of its own.
   */
  deserialize(payload: Payload, context: HandlerContext): MaybePromise<I>;
  /** Never set: carries W to the typed client. */
  readonly "~clientInput"?: W;
}

/** Turns what a service gives into bytes (or text, which goes out as UTF-8). */
export interface ResponseHandler<O = unknown, W = O> {
  /** What it writes; the first one is its main type. */
  readonly mediaTypes: readonly string[];
  /** How OpenAPI describes the body, where the service's output schema is not the answer. */
  readonly bodySchema?: JsonSchema;
  /** Writes one value. Whatever it throws is the service's fault (`serialization_failed`). */
  serialize(value: O, context: HandlerContext): MaybePromise<Uint8Array | string>;
  /** Never set: carries W to the typed client. */
  readonly "~clientOutput"?: W;
}
