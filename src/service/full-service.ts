import { ServableError, messageOf } from "../errors.ts";
import { CallContext, toCallContext } from "./call-context.ts";
import { isThenable } from "./chain.ts";
import { callChecked, stageFailure, type Codec } from "./checked-call.ts";
import type { ServiceDefinition } from "./definition.ts";
import type { HandlerContext, Payload, RequestHandler, ResponseHandler } from "./handlers/handler.ts";
import { JsonHandler } from "./handlers/json-handler.ts";
import { negotiateResponse, selectRequestHandler, selectResponseHandler } from "./handlers/negotiate.ts";
import { ndjsonItems } from "./ndjson-input.ts";
import { untilAborted } from "./until-aborted.ts";
import { Service, isAsyncIterable, type CallResult, type MaybePromise, type ServiceContext } from "./service.ts";

/** A request as bytes. */
export interface EncodedRequest {
  /** The Content-Type with its parameters; undefined where none was sent. */
  readonly contentType: string | undefined;
  /** The body, whole or, for a service that takes a stream, as it comes. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>;
  /** The media type of the answer, out of those of the response handlers. @default the first one */
  readonly responseType?: string | undefined;
}

/** One answer as bytes or text. */
export interface EncodedValue {
  readonly kind: "value";
  readonly mediaType: string;
  readonly body: Uint8Array | string;
}

/** A stream of answers, each as bytes or text; the runtime frames them. */
export interface EncodedStream {
  readonly kind: "stream";
  readonly mediaType: string;
  readonly items: AsyncIterable<Uint8Array | string>;
}

/** An answer as bytes. */
export type EncodedResponse = EncodedValue | EncodedStream;

/** How a service's values become bytes and back, and how they are checked. A definition is one. */
export type Coding = Pick<ServiceDefinition, "request" | "response" | "input" | "output" | "inputStream" | "validateOutput"> & {
  /** Largest item of an input stream, in bytes. @default 16 MiB */
  readonly policy: { readonly maxBodyBytes?: number | undefined };
};

const defaultItemBytes = 16 * 1024 * 1024;

/**
 * What is technically run: a service and its handlers, bytes in and bytes out. Each stage, deserialize → validate → call →
 * serialize, fails with a code of its own, and the error names the stage.
 */
export class FullService<I = unknown, O = unknown> extends Service<EncodedRequest, EncodedResponse> {
  readonly #service: Service<I, O>;
  readonly #coding: Coding;

  constructor(service: Service<I, O>, coding: Coding) {
    super();
    this.#service = service;
    this.#coding = coding;
  }

  override async setup(...context: Parameters<NonNullable<Service["setup"]>>): Promise<void> {
    await this.#service.setup?.(...context);
  }

  /**
   * Runs requests for nobody: what the service compiles, fetches or allocates at its first calls is there afterwards.
   *
   * @throws ServableError `load_failed` that names the request which failed
   */
  async warmUp(requests: readonly unknown[]): Promise<void> {
    for (const [index, request] of requests.entries()) {
      try {
        const context = new CallContext({ requestId: `warmup-${index + 1}` });
        const result: unknown = await callChecked(this.#service, this.#coding, request, context, false);
        if (isAsyncIterable(result)) for await (const _item of result);
      } catch (thrown) {
        throw new ServableError("load_failed", `warm-up request ${index + 1} failed: ${messageOf(thrown)}`, { cause: thrown });
      }
    }
  }

  override async close(): Promise<void> {
    await this.#service.close?.();
  }

  /** Runs the service on a value that needs neither reading nor checks, and gives its answer as it is: for a wire that has its own of both. */
  callValue(value: I, context: ServiceContext): CallResult<O> {
    return this.#service.call(value, context);
  }

  /** @throws ServableError with the code of the stage that failed */
  override call(request: EncodedRequest, context: ServiceContext): MaybePromise<EncodedResponse> {
    const callContext = toCallContext(context);
    const coding = this.#coding;
    const { contentType, body, responseType } = request;
    const mediaType = responseType ?? negotiateResponse(coding.response, undefined);
    const writer = selectResponseHandler(coding.response, mediaType);
    if (writer === undefined) throw new ServableError("not_acceptable", `This service writes no ${mediaType}.`);
    const reader = coding.inputStream ? undefined : selectRequestHandler(coding.request, contentType);
    if (reader !== undefined && !(body instanceof Uint8Array)) {
      throw new ServableError("invalid_request", "This service takes one value, not a stream.");
    }
    const source = reader === undefined ? this.#items(body, callContext) : request;
    const codec = new HandlerCodec(mediaType, reader, writer, callContext);
    // The codec's answers are encoded ones.
    return callChecked(this.#service, coding, source, callContext, true, codec) as MaybePromise<EncodedResponse>;
  }

  #items(body: EncodedRequest["body"], context: CallContext): AsyncIterable<unknown> {
    const chunks = body instanceof Uint8Array ? [body] : untilAborted(body, context.signal);
    return ndjsonItems(chunks, this.#coding.policy.maxBodyBytes ?? defaultItemBytes);
  }
}

/** What the handlers do for one call, and what they see of it. */
class HandlerCodec implements Codec, HandlerContext {
  readonly mediaType: string;
  readonly #reader: RequestHandler | undefined;
  readonly #writer: ResponseHandler;
  readonly #context: CallContext;

  constructor(mediaType: string, reader: RequestHandler | undefined, writer: ResponseHandler, context: CallContext) {
    this.mediaType = mediaType;
    this.#reader = reader;
    this.#writer = writer;
    this.#context = context;
  }

  /** A getter of a class, not of a literal: V8 makes a new hidden class for each of those, which doubled the time of a small call. */
  get signal(): AbortSignal {
    return this.#context.signal;
  }

  deserialize(source: unknown): unknown {
    return this.#reader?.deserialize(source as Payload, this);
  }

  serialize(value: unknown): MaybePromise<EncodedValue> {
    const body: unknown = this.#writer.serialize(value, this);
    return isThenable(body) ? Promise.resolve(body).then((settled) => this.#value(settled)) : this.#value(body);
  }

  #value(body: unknown): EncodedValue {
    return { kind: "value", mediaType: this.mediaType, body: checkBody(body) };
  }

  stream(items: AsyncIterable<unknown>): EncodedStream {
    return { kind: "stream", mediaType: this.mediaType, items: this.#writeAll(items) };
  }

  async *#writeAll(items: AsyncIterable<unknown>): AsyncGenerator<Uint8Array | string> {
    for await (const item of items) {
      let body: unknown;
      try {
        body = checkBody(await this.#writer.serialize(item, this));
      } catch (thrown) {
        throw stageFailure("serialize", thrown, this.#context);
      }
      yield body as Uint8Array | string;
    }
  }
}

/** A handler of a user's own may give anything, whatever its type says. */
function checkBody(body: unknown): Uint8Array | string {
  if (typeof body === "string") return body;
  if (!(body instanceof Uint8Array) || !ArrayBuffer.isView(body)) {
    throw new ServableError("serialization_failed", "The response handler gave neither bytes nor a text.");
  }
  if (body.byteLength === 0 && isGone(body.buffer)) {
    throw new ServableError("serialization_failed", "The response handler gave bytes whose memory was handed over to somebody else.");
  }
  // Memory that is shared may change while it is sent, and Node's streams refuse it.
  return body.buffer instanceof ArrayBuffer ? body : Uint8Array.prototype.slice.call(body);
}

/** Node 20 has no `detached` yet. */
function isGone(buffer: ArrayBufferLike): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/** The default {@link FullService}: JSON in, JSON out. */
export class JsonService<I = unknown, O = unknown> extends FullService<I, O> {
  constructor(service: Service<I, O>, checks: Partial<Pick<Coding, "input" | "output" | "validateOutput">> = {}) {
    const json = [new JsonHandler()];
    super(service, {
      request: json,
      response: json,
      input: checks.input,
      output: checks.output,
      inputStream: false,
      validateOutput: checks.validateOutput ?? true,
      policy: {},
    });
  }
}
