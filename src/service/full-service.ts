import { ServableError } from "../errors.ts";
import { toCallContext, type CallContext } from "./call-context.ts";
import { chain } from "./chain.ts";
import { attempt, callChecked } from "./checked-call.ts";
import type { ServiceDefinition } from "./definition.ts";
import type { HandlerContext, ResponseHandler } from "./handlers/handler.ts";
import { JsonHandler } from "./handlers/json-handler.ts";
import { negotiateResponse, selectRequestHandler, selectResponseHandler } from "./handlers/negotiate.ts";
import { ndjsonItems } from "./ndjson-input.ts";
import { untilAborted } from "./until-aborted.ts";
import { Service, isAsyncIterable, type MaybePromise, type ServiceContext } from "./service.ts";

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

  override async close(): Promise<void> {
    await this.#service.close?.();
  }

  /** @throws ServableError with the code of the stage that failed */
  override call(request: EncodedRequest, context: ServiceContext): MaybePromise<EncodedResponse> {
    const callContext = toCallContext(context);
    const mediaType = request.responseType ?? negotiateResponse(this.#coding.response, undefined);
    const handler = selectResponseHandler(this.#coding.response, mediaType);
    if (handler === undefined) throw new ServableError("not_acceptable", `This service writes no ${mediaType}.`);
    const handlerContext = new CallHandlerContext(mediaType, callContext);
    return chain(this.#read(request, callContext, handlerContext), (value) =>
      chain(callChecked(this.#service as Service, this.#coding, value, callContext), (result) =>
        isAsyncIterable(result)
          ? { kind: "stream", mediaType, items: this.#writeAll(result, handler, callContext, handlerContext) }
          : this.#write(result, handler, callContext, handlerContext),
      ),
    );
  }

  #read(request: EncodedRequest, context: CallContext, handlerContext: HandlerContext): MaybePromise<unknown> {
    const { body, contentType } = request;
    const coding = this.#coding;
    if (coding.inputStream) {
      return ndjsonItems(
        body instanceof Uint8Array ? [body] : untilAborted(body, context.signal),
        coding.policy.maxBodyBytes ?? defaultItemBytes,
      );
    }
    if (!(body instanceof Uint8Array)) {
      throw new ServableError("invalid_request", "This service takes one value, not a stream.");
    }
    const handler = selectRequestHandler(coding.request, contentType);
    return attempt("deserialize", context, () => handler.deserialize({ contentType, body }, handlerContext));
  }

  #write(value: unknown, handler: ResponseHandler, context: CallContext, handlerContext: HandlerContext): MaybePromise<EncodedValue> {
    return chain(
      attempt("serialize", context, () => chain(handler.serialize(value, handlerContext), checkBody)),
      (body) => ({ kind: "value", mediaType: handlerContext.mediaType, body }),
    );
  }

  async *#writeAll(
    items: AsyncIterable<unknown>,
    handler: ResponseHandler,
    context: CallContext,
    handlerContext: HandlerContext,
  ): AsyncGenerator<Uint8Array | string> {
    for await (const item of items) {
      yield await attempt("serialize", context, () => chain(handler.serialize(item, handlerContext), checkBody), false);
    }
  }
}

/** A class, not a literal with a getter: V8 makes a new hidden class for each of those, which doubled the time of a small call. */
class CallHandlerContext implements HandlerContext {
  readonly mediaType: string;
  readonly #context: ServiceContext;

  constructor(mediaType: string, context: ServiceContext) {
    this.mediaType = mediaType;
    this.#context = context;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }
}

/** A handler of a user's own may give anything, whatever its type says. */
function checkBody(body: unknown): Uint8Array | string {
  if (typeof body === "string" || body instanceof Uint8Array) return body;
  throw new ServableError("serialization_failed", "The response handler gave neither bytes nor a text.");
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
