import type { ServableError } from "../errors.ts";
import type { ClientTypes } from "../service/definition.ts";
import type { RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption, WireOf } from "../service/inference.ts";
import type { CallOptions } from "./options.ts";

/**
 * What became of one item of a batch: its output, or why it has none.
 *
 * @typeParam O - what the service gives
 */
export type BatchResult<O> =
  { readonly output: O; readonly error?: undefined } | { readonly output?: undefined; readonly error: ServableError };

/**
 * A client's method for a service that gives one value.
 *
 * @typeParam I - what a caller passes
 * @typeParam O - what a caller gets
 */
export interface UnaryMethod<I, O> {
  /**
   * Calls the service. The request starts at once.
   *
   * @throws ServableError with the code that the server gave, or `unavailable` (not reached, or broken off),
   * `deadline_exceeded` (the client's own time is up), `cancelled` (by `options.signal`), `invalid_request` (the input can't be
   * written), `invalid_argument` (an option that makes no sense)
   */
  (input: I, options?: CallOptions): Promise<O>;
  /**
   * Calls the service for a list of inputs in one request. Each item succeeds or fails alone; the list of results has the order of
   * the inputs. Only inputs that JSON can carry.
   *
   * @throws ServableError as a single call does, when the request as a whole fails
   */
  batch(inputs: readonly I[], options?: CallOptions): Promise<BatchResult<O>[]>;
}

/**
 * A client's method for a service that gives a stream.
 *
 * @typeParam I - what a caller passes
 * @typeParam O - one item of the stream
 */
export interface StreamMethod<I, O> {
  /**
   * Calls the service. The request starts at once; the items can be read once, and leaving the loop early cancels the request.
   *
   * @throws ServableError out of the loop, also in the middle of the stream: the codes of {@link UnaryMethod}
   */
  (input: I, options?: CallOptions): AsyncIterable<O>;
  /**
   * Calls the service for a list of inputs in one request; see {@link UnaryMethod.batch}. Each stream is collected into a list.
   *
   * @throws ServableError as a single call does, when the request as a whole fails
   */
  batch(inputs: readonly I[], options?: CallOptions): Promise<BatchResult<O[]>[]>;
}

/**
 * A client's method for a service whose types don't tell whether it gives a value or a stream: await it to get either, or iterate
 * it, where a single value is one item.
 *
 * @typeParam I - what a caller passes
 * @typeParam O - what a caller gets, or one item of it
 */
export interface DynamicMethod<I, O> {
  /**
   * Calls the service. The request starts at once.
   *
   * @throws ServableError with the codes of {@link UnaryMethod}
   */
  (input: I, options?: CallOptions): Promise<O | AsyncIterable<O>> & AsyncIterable<O>;
  /**
   * Calls the service for a list of inputs in one request; see {@link UnaryMethod.batch}. A stream is collected into a list.
   *
   * @throws ServableError as a single call does, when the request as a whole fails
   */
  batch(inputs: readonly I[], options?: CallOptions): Promise<BatchResult<O | O[]>[]>;
}

/**
 * A typed client: one method per service, under its literal name.
 *
 * @typeParam T - `typeof service` for a definition or a class of services, or `typeof import("./services.ts")` for a module of
 * them, whose other exports are ignored
 */
export type Client<T> = [NameOf<T>] extends [never]
  ? { readonly [K in keyof T as NameOf<T[K]>]: MethodOf<T[K]> }
  : { readonly [N in NameOf<T>]: MethodOf<T> };

type IsAny<T> = 0 extends 1 & T ? true : false;

/** What a definition shows of itself to a client. */
interface DefinitionShape {
  readonly name: string;
  readonly inputStream: boolean;
  readonly create: () => unknown;
  readonly "~client"?: ClientTypes;
}

/** What a class of services shows of itself. `never` stands for parameters of any type. */
interface ServiceClassShape {
  readonly definition: { readonly name: string };
  new (...parameters: never[]): { call(request: never, context: never): unknown };
}

/** The literal name of a service; never, for what is none. */
type NameOf<T> =
  IsAny<T> extends true ? never : T extends DefinitionShape ? T["name"] : T extends ServiceClassShape ? T["definition"]["name"] : never;

type MethodOf<T> = T extends DefinitionShape
  ? MethodFor<NonNullable<T["~client"]>>
  : T extends ServiceClassShape
    ? MethodFor<TypesOfClass<T["definition"], InstanceType<T>>>
    : never;

type MethodFor<T extends ClientTypes> = [T["stream"]] extends [true]
  ? StreamMethod<T["input"], T["output"]>
  : [T["stream"]] extends [false]
    ? UnaryMethod<T["input"], T["output"]>
    : DynamicMethod<T["input"], T["output"]>;

type Field<D, K extends string, Constraint> = D extends { readonly [key in K]: infer V extends Constraint } ? V : undefined;

/** What a client sees of a class of services: what its definition's schemas and handlers say, else what its `call` says. */
type TypesOfClass<D, S> = S extends { call(request: infer I, context: never): infer R }
  ? WireOf<
      Field<D, "input", StreamableSchemaOption>,
      Field<D, "output", SchemaOption>,
      Field<D, "request", RequestOption>,
      Field<D, "response", ResponseOption>,
      I,
      R
    >
  : never;
