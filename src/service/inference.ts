/** How the types of a service follow from its schemas, handlers and `call`. No value lives here. */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { RequestHandler, ResponseHandler } from "./handlers/handler.ts";
import type { StreamSchema } from "./schema.ts";

/* eslint-disable @typescript-eslint/no-explicit-any -- an inference seam: these constraints must take every instantiation */
type AnySchema = StandardSchemaV1<any, any>;
/** An output schema, or none. */
export type SchemaOption = AnySchema | undefined;
/** An input schema, one of a stream's items, or none. */
export type StreamableSchemaOption = AnySchema | StreamSchema<any> | undefined;
type AnyRequestHandler = RequestHandler<any, any>;
type AnyResponseHandler = ResponseHandler<any, any>;
/** One request handler, several, or none. */
export type RequestOption = AnyRequestHandler | readonly AnyRequestHandler[] | undefined;
/** One response handler, several, or none. */
export type ResponseOption = AnyResponseHandler | readonly AnyResponseHandler[] | undefined;

type OneOf<H> = H extends readonly (infer Item)[] ? Item : H;
type Read<Q> = OneOf<Q> extends RequestHandler<infer I, any> ? I : unknown;
type SentBy<Q> = OneOf<Q> extends RequestHandler<any, infer W> ? W : unknown;
type Written<P> = OneOf<P> extends ResponseHandler<infer O, any> ? O : unknown;
type ReceivedBy<P> = OneOf<P> extends ResponseHandler<any, infer W> ? W : unknown;
/* eslint-enable @typescript-eslint/no-explicit-any */

/** The first that says something: `unknown` says nothing. */
type FirstKnown<A, B> = unknown extends A ? B : A;

type SchemaIn<S> =
  S extends StreamSchema<infer Item>
    ? AsyncIterable<StandardSchemaV1.InferInput<Item>>
    : S extends StandardSchemaV1
      ? StandardSchemaV1.InferInput<S>
      : unknown;
type SchemaOut<S> =
  S extends StreamSchema<infer Item>
    ? AsyncIterable<StandardSchemaV1.InferOutput<Item>>
    : S extends StandardSchemaV1
      ? StandardSchemaV1.InferOutput<S>
      : unknown;

/** What `call` gets: the input schema's output, else what the request handler reads. */
export type CallInput<S, Q> = S extends undefined ? Read<Q> : SchemaOut<S>;

/** What `call` must give: the output schema's input, else what the response handler writes. */
export type CallOutput<T, P> = T extends undefined ? Written<P> : SchemaIn<T>;

/** The value in a result, promised, streamed or plain. */
export type ItemOf<R> = Awaited<R> extends AsyncIterable<infer Item> ? Item : Awaited<R>;

/** Whether a result is a stream. */
export type IsStream<R> = Awaited<R> extends AsyncIterable<unknown> ? true : false;

/** What a typed client and a bare call see. */
export interface WireOf<S, T, Q, P, I, R> {
  readonly input: FirstKnown<SentBy<Q>, S extends undefined ? I : SchemaIn<S>>;
  readonly output: FirstKnown<ReceivedBy<P>, T extends undefined ? ItemOf<R> : SchemaOut<T>>;
  readonly stream: IsStream<R>;
  readonly argument: S extends undefined ? I : SchemaIn<S>;
  readonly result: T extends undefined ? ItemOf<R> : SchemaOut<T>;
}
