/** One HTTP call to a service, whatever the host: Fastify and fetch-style hosts only convert to and from these shapes. */
import { ServableError } from "../../errors.ts";
import type { Engine, ListPlace } from "../../engine/engine.ts";
import type { Execution } from "../../engine/execution.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedResponse } from "../../service/full-service.ts";
import { essenceOf } from "../../service/handlers/media-type.ts";
import { selectRequestHandler } from "../../service/handlers/negotiate.ts";
import { negotiateAnswer, streamNotAcceptable, type Answer } from "./accept.ts";
import { answerBatch } from "./batch.ts";
import { whyNoBatch } from "./batch-route.ts";
import { frame } from "./framing.ts";
import { timeoutOf } from "./head.ts";
import { problemMediaType, problemOf, toWireError } from "./problem.ts";

/** A request's body, read at most once. */
export interface BodySource {
  /**
   * All of it.
   *
   * @param onStart - gets what makes the reading fail early, for a caller with a deadline
   * @throws ServableError `payload_too_large`, or `invalid_request` where it breaks off
   */
  whole(maxBytes: number, onStart?: (abort: (error: ServableError) => void) => void): Promise<Uint8Array>;
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
  readonly metadata: () => Readonly<Record<string, string>>;
  readonly body: BodySource;
  /** Names what to do when the client goes away before the answer is out. */
  onGone(callback: () => void): void;
}

/** What a host sends back, with the header `x-request-id` besides. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

/** Takes a call in and answers it; whatever goes wrong is a problem document. */
export async function answerCall(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): Promise<HttpAnswer> {
  const since = performance.now();
  let execution: Execution | undefined;
  try {
    const answer = negotiateAnswer(definition, call.accept);
    checkHead(engine, definition, call);
    execution = admit(engine, definition, call);
    const body = definition.inputStream ? call.body.chunks() : await readBody(engine, definition, call, execution);
    const response = await execution.run({ contentType: call.contentType, body, responseType: answer.responseType });
    return respond(response, answer, call.requestId);
  } catch (thrown) {
    return fail(engine, thrown, { definition, call, execution, since });
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
    const text = await answerBatch(engine, definition, { ...call, place, body, timeoutMs });
    return { status: 200, headers: { "content-type": "application/json" }, body: text };
  } catch (thrown) {
    return fail(engine, thrown, { definition, call, execution: undefined, since });
  } finally {
    place?.leave();
  }
}

async function readInTime(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): Promise<Uint8Array> {
  const { maxBodyBytes, deadlineMs } = engine.policy(definition.name);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await call.body.whole(maxBodyBytes, (abort) => {
      timer = setTimeout(() => {
        abort(new ServableError("request_timeout", `The request's body did not arrive within ${deadlineMs} ms.`));
      }, deadlineMs);
    });
  } finally {
    clearTimeout(timer);
  }
}

function admit(engine: Engine, definition: AnyServiceDefinition, call: HttpCall): Execution {
  const { requestId, metadata } = call;
  const execution = engine.admit(definition.name, { requestId, metadata, timeoutMs: timeoutOf(call.timeoutMs) });
  call.onGone(() => {
    execution.cancel();
  });
  return execution;
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
}

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

/** Reads the body; the request's end (deadline, client gone) ends the reading. */
async function readBody(engine: Engine, definition: AnyServiceDefinition, call: HttpCall, execution: Execution): Promise<Uint8Array> {
  const body = await call.body.whole(engine.policy(definition.name).maxBodyBytes, (abort) => {
    execution.onFail = abort;
  });
  execution.onFail = undefined;
  return body;
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

interface FailedCall {
  readonly definition: AnyServiceDefinition;
  readonly call: HttpCall;
  /** undefined where it was not even admitted. */
  readonly execution: Execution | undefined;
  readonly since: number;
}

function fail(engine: Engine, thrown: unknown, { definition, call, execution, since }: FailedCall): HttpAnswer {
  const error = toWireError(thrown);
  if (execution === undefined) engine.refused(call.requestId, definition.name, error, performance.now() - since);
  else execution.fail(error);
  return problemAnswer(error, call.requestId);
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
