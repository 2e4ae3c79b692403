/** One HTTP call to a service, whatever the host: Fastify and fetch-style hosts only convert to and from these shapes. */
import { ServableError } from "../../errors.ts";
import type { Engine, ListPlace } from "../../engine/engine.ts";
import type { Execution } from "../../engine/execution.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import { JsonHandler } from "../../service/handlers/json-handler.ts";
import { essenceOf } from "../../service/handlers/media-type.ts";
import { negotiateResponse, selectRequestHandler } from "../../service/handlers/negotiate.ts";
import { negotiateAnswer, streamNotAcceptable, type Answer } from "./accept.ts";
import { answerBatch } from "./batch.ts";
import { whyNoBatch } from "./batch-route.ts";
import type { Deliver, HttpAnswer, HttpCall } from "./call.ts";
import { frame } from "./framing.ts";
import { timeoutOf } from "./head.ts";
import { problemMediaType, problemOf, toWireError } from "./problem.ts";

/** Takes a call in and answers it, once; whatever goes wrong is a problem document. */
export function answerCall(engine: Engine, definition: AnyServiceDefinition, call: HttpCall, deliver: Deliver): void {
  new Exchange(engine, definition, call, deliver).start();
}

/** One call on its way. Callbacks rather than promises: half a dozen of those a request were a good part of what a small one cost. */
class Exchange {
  readonly #engine: Engine;
  readonly #definition: AnyServiceDefinition;
  readonly #call: HttpCall;
  readonly #deliver: Deliver;
  #answer: Answer | undefined;
  #execution: Execution | undefined;

  constructor(engine: Engine, definition: AnyServiceDefinition, call: HttpCall, deliver: Deliver) {
    this.#engine = engine;
    this.#definition = definition;
    this.#call = call;
    this.#deliver = deliver;
  }

  start(): void {
    const engine = this.#engine;
    const definition = this.#definition;
    const call = this.#call;
    try {
      this.#answer = negotiateAnswer(definition, call.accept);
      checkHead(engine, definition, call);
      const execution = engine.admit(definition.name, {
        requestId: call.requestId,
        metadata: () => call.metadata(),
        timeoutMs: timeoutOf(call.timeoutMs),
      });
      this.#execution = execution;
      call.onGone(() => {
        execution.cancel();
      });
      const { body } = call;
      if (body instanceof Uint8Array) {
        this.#run(body);
        return;
      }
      if (definition.inputStream) {
        this.#run(body.chunks());
        return;
      }
      execution.onFail = body.whole(
        engine.policy(definition.name).maxBodyBytes,
        (read) => {
          execution.onFail = undefined;
          this.#run(read);
        },
        (thrown) => {
          this.#fail(thrown);
        },
      );
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #run(body: EncodedRequest["body"]): void {
    this.#execution?.submit(
      { contentType: this.#call.contentType, body, responseType: this.#answer?.responseType },
      (response) => {
        this.#respond(response);
      },
      (error) => {
        this.#fail(error);
      },
    );
  }

  #respond(response: EncodedResponse): void {
    let answer: HttpAnswer;
    try {
      if (this.#answer === undefined) return;
      answer = respond(response, this.#answer, this.#call.requestId);
    } catch (thrown) {
      this.#fail(thrown);
      return;
    }
    this.#deliver(answer);
  }

  #fail(thrown: unknown): void {
    const error = toWireError(thrown);
    const { requestId } = this.#call;
    // What is refused before its admission is refused at once.
    if (this.#execution === undefined) this.#engine.refused(requestId, this.#definition.name, error, 0);
    else this.#execution.fail(error);
    this.#deliver(problemAnswer(error, requestId));
  }
}

/** Takes a list in and answers each item: one bad item fails alone. */
export async function answerBatchCall(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): Promise<HttpAnswer> {
  const since = performance.now();
  let place: ListPlace | undefined;
  try {
    checkBatchHead(definition, call);
    checkLength(engine, definition, call);
    const timeoutMs = timeoutOf(call.timeoutMs);
    place = engine.takePlace(definition.name);
    const body = await readInTime(engine, definition, call);
    const text = await answerBatch(engine, definition, { call, place, body, timeoutMs });
    return { status: 200, headers: { "content-type": "application/json" }, body: text };
  } catch (thrown) {
    const error = toWireError(thrown);
    engine.refused(call.requestId, definition.name, error, performance.now() - since);
    return problemAnswer(error, call.requestId);
  } finally {
    place?.leave();
  }
}

function readInTime(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): Promise<Uint8Array> {
  const { maxBodyBytes, deadlineMs } = engine.policy(definition.name);
  const source = call.body;
  if (source instanceof Uint8Array) return Promise.resolve(source);
  return new Promise<Uint8Array>((resolve, reject) => {
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    const timer = setTimeout(() => {
      abort(new ServableError("request_timeout", `The request's body did not arrive within ${deadlineMs} ms.`));
    }, deadlineMs);
    const abort = source.whole(
      maxBodyBytes,
      (body) => {
        settle(() => {
          resolve(body);
        });
      },
      (error) => {
        settle(() => {
          reject(toWireError(error));
        });
      },
    );
  });
}

function checkHead(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): void {
  if (definition.inputStream) {
    checkStreamType(call.contentType);
    return;
  }
  selectRequestHandler(definition.request, call.contentType);
  checkLength(engine, definition, call);
}

function checkBatchHead(definition: AnyServiceDefinition, call: HttpCall): void {
  const why = whyNoBatch(definition);
  if (why !== undefined) throw new ServableError("not_found", `Service '${definition.name}' ${why}, so it has no batch route.`);
  const essence = call.contentType && essenceOf(call.contentType);
  if (essence !== undefined && essence !== "application/json") {
    throw new ServableError("unsupported_media_type", `A batch is a JSON list: send application/json, not '${essence.slice(0, 60)}'.`, {
      details: { accepted: ["application/json"] },
    });
  }
  negotiateResponse([batchAnswer], call.accept);
}

/** A batch is answered with a JSON list, whatever else the service writes. */
const batchAnswer = new JsonHandler();

function checkStreamType(contentType: string | undefined): void {
  const essence = contentType && essenceOf(contentType);
  if (essence === undefined || essence === "application/x-ndjson" || essence === "application/jsonl") return;
  throw new ServableError(
    "unsupported_media_type",
    `This service takes a stream: send application/x-ndjson, one JSON value a line, not '${essence.slice(0, 60)}'.`,
    {
      details: { accepted: ["application/x-ndjson"] },
    },
  );
}

function checkLength(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): void {
  const { maxBodyBytes } = engine.policy(definition.name);
  if (call.contentLength !== undefined && call.contentLength > maxBodyBytes) throw tooLarge(maxBodyBytes);
}

/** The error for a body over its limit. */
export function tooLarge(maxBytes: number): ServableError {
  return new ServableError("payload_too_large", `The body is larger than ${maxBytes} bytes.`, { details: { maxBodyBytes: maxBytes } });
}

function respond(response: EncodedResponse, answer: Answer, requestId: string): HttpAnswer {
  const { framing } = answer;
  if (response.kind === "value") {
    if (answer.framedOnly && framing !== undefined) {
      return framed(one(response.body), framing, response.mediaType, requestId);
    }
    const charset = response.mediaType.startsWith("text/") && typeof response.body === "string" ? "; charset=utf-8" : "";
    return { status: 200, headers: { "content-type": response.mediaType + charset }, body: response.body };
  }
  if (framing === undefined) throw streamNotAcceptable();
  return framed(response.items, framing, response.mediaType, requestId);
}

function framed(
  items: AsyncIterable<Uint8Array | string>,
  framing: NonNullable<Answer["framing"]>,
  mediaType: string,
  requestId: string,
): HttpAnswer {
  return {
    status: 200,
    headers: {
      "content-type": framing === "raw" ? mediaType : framing,
      "cache-control": "no-cache",
      // Or nginx would hold the items back until the stream ends.
      "x-accel-buffering": "no",
    },
    body: frame(items, framing, requestId),
  };
}

async function* one<T>(item: T): AsyncGenerator<T> {
  yield await Promise.resolve(item);
}

/**
 * An error as an answer.
 *
 * @param status - where it is not the one that the code stands for
 */
export function problemAnswer(thrown: unknown, requestId: string, status?: number): HttpAnswer {
  const problem = problemOf(thrown, requestId, status);
  const headers: Record<string, string> = { "content-type": problemMediaType };
  if (ServableError.isInstance(thrown)) {
    if (thrown.retryAfterMs !== undefined) headers["retry-after"] = String(Math.max(1, Math.ceil(thrown.retryAfterMs / 1_000)));
    const { allow } = thrown.details;
    if (thrown.code === "method_not_allowed" && Array.isArray(allow)) headers.allow = allow.join(", ");
    if (problem.status === 401) headers["www-authenticate"] = "Bearer";
  }
  return { status: problem.status, headers, body: JSON.stringify(problem) };
}
