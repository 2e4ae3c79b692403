import { ServableError, type ErrorCode, type ServableErrorOptions } from "../errors.ts";
import type { CallContext } from "./call-context.ts";
import { chain, isThenable } from "./chain.ts";
import type { ServiceDefinition } from "./definition.ts";
import { validate, type Schema } from "./schema.ts";
import { isAsyncIterable, type MaybePromise, type Service } from "./service.ts";

/** The schemas of a service, and whether its output is checked. */
export type Checks = Pick<ServiceDefinition, "input" | "output" | "inputStream" | "validateOutput">;

/** A part of a request's way that can fail in its own way. */
export type Stage = "deserialize" | "validate" | "call" | "serialize";

/** Codes that a service may throw on purpose; any other code is its own mishap, and the client sees `service_failed`. */
const passedOn: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid_request",
  "unauthenticated",
  "not_found",
  "payload_too_large",
  "unsupported_media_type",
  "not_acceptable",
  "overloaded",
  "not_ready",
  "deadline_exceeded",
  "cancelled",
  "request_timeout",
  "invalid_output",
  "serialization_failed",
  "service_failed",
  "worker_crashed",
]);

const codeOfStage: Readonly<Record<Stage, ErrorCode>> = {
  deserialize: "invalid_request",
  validate: "service_failed",
  call: "service_failed",
  serialize: "serialization_failed",
};

const messageOfStage: Readonly<Record<Stage, string>> = {
  deserialize: "The body could not be read.",
  validate: "The service's schema failed while it checked the value.",
  call: "The service failed. Its log tells more, under this request id.",
  serialize: "The service's answer could not be written in the format that was asked for.",
};

/**
 * What a failure in a stage is called. An abort that reached the code as an exception keeps its own reason; an error of ours that
 * belongs to another request (one that the service made elsewhere) is a failure of the service like any other.
 */
export function stageFailure(stage: Stage, thrown: unknown, context: CallContext): ServableError {
  if (context.abortReason !== undefined && isAbort(thrown)) return context.abortReason;
  if (!ServableError.isInstance(thrown)) {
    if (stage !== "call" && thrown instanceof RangeError && thrown.message.includes("call stack")) {
      return new ServableError("invalid_request", "The value is nested too deeply.", { cause: thrown, stage });
    }
    return new ServableError(codeOfStage[stage], messageOfStage[stage], { cause: thrown ?? String(thrown), stage });
  }
  const own = thrown.requestId === undefined || thrown.requestId === context.requestId;
  // A code that no client can do anything about (a missing package, say) is the operator's business, at whichever stage.
  if (!own || !passedOn.has(thrown.code)) return new ServableError("service_failed", messageOfStage.call, { cause: thrown, stage });
  return thrown.stage === undefined ? new ServableError(thrown.code, thrown.message, { ...optionsOf(thrown), stage }) : thrown;
}

function optionsOf({ issues, details, retryAfterMs, requestId, cause }: ServableError): ServableErrorOptions {
  return { issues, details, retryAfterMs, requestId, cause };
}

function isAbort(thrown: unknown): boolean {
  return ServableError.isInstance(thrown) || (thrown instanceof Error && (thrown.name === "AbortError" || thrown.name === "TimeoutError"));
}

/**
 * Checks the input, calls the service, checks the output: what every way to a service has in common.
 *
 * @param timed - whether the stages' times are noted; a pipeline times its steps itself
 * @returns one checked value, or an async iterable of checked values
 */
export function callChecked(service: Service, checks: Checks, value: unknown, context: CallContext, timed = true): MaybePromise<unknown> {
  const { input } = checks;
  if (input === undefined) return callService(service, checks, value, context, timed);
  if (checks.inputStream) return callService(service, checks, checkedItems(value, input, context), context, timed);
  return chain(
    attempt("validate", context, () => validate(input, value, "input"), timed),
    (request) => callService(service, checks, request, context, timed),
  );
}

function callService(service: Service, checks: Checks, request: unknown, context: CallContext, timed: boolean): MaybePromise<unknown> {
  context.throwIfAborted();
  const since = performance.now();
  return chain(
    attempt(
      "call",
      context,
      () => service.call(request, context),
      timed,
      (result) => !isAsyncIterable(result),
    ),
    (result) =>
      isAsyncIterable(result)
        ? checkedStream(result, checks, context, timed ? since : undefined)
        : checkOutput(result, checks, context, timed),
  );
}

function checkOutput(result: unknown, checks: Checks, context: CallContext, timed: boolean): MaybePromise<unknown> {
  const { output } = checks;
  if (output === undefined || !checks.validateOutput) return result;
  return attempt("validate", context, () => validate(output, result, "output"), timed);
}

async function* checkedItems(items: unknown, schema: Schema, context: CallContext): AsyncGenerator {
  if (!isAsyncIterable(items))
    throw new ServableError("invalid_request", "The input must be an async iterable of items.", { stage: "validate" });
  let index = 0;
  for await (const item of items) {
    try {
      yield await attempt("validate", context, () => validate(schema, item, "input"), false);
    } catch (thrown) {
      if (!ServableError.isInstance(thrown) || thrown.issues.length === 0) throw thrown;
      const issues = thrown.issues.map(({ path, message }) => ({ path: [index, ...path], message }));
      throw new ServableError(thrown.code, `Item ${index} of the stream does not fit the service's schema.`, { issues, stage: "validate" });
    }
    index += 1;
  }
}

/** The time of a stream's call is from its start to its end; what its items cost in between is part of it. */
async function* checkedStream(
  items: AsyncIterable<unknown>,
  checks: Checks,
  context: CallContext,
  since: number | undefined,
): AsyncGenerator {
  try {
    for await (const item of items) {
      context.throwIfAborted();
      yield await checkOutput(item, checks, context, false);
    }
  } catch (thrown) {
    throw stageFailure("call", thrown, context);
  } finally {
    if (since !== undefined) context.record("call", since);
  }
}

/**
 * Runs one stage; what it throws, now or later, becomes that stage's failure.
 *
 * @param timed - whether its time is noted, also when it fails
 * @param ends - whether the stage is over with this result: a stream's is not
 */
export function attempt<T>(
  stage: Stage,
  context: CallContext,
  work: () => MaybePromise<T>,
  timed = true,
  ends: (result: T) => boolean = always,
): MaybePromise<T> {
  const since = timed ? context.begin(stage) : 0;
  const done = (result: T): T => {
    if (timed && ends(result)) context.record(stage, since);
    return result;
  };
  const failed = (thrown: unknown): never => {
    if (timed) context.record(stage, since);
    throw stageFailure(stage, thrown, context);
  };
  let result: MaybePromise<T>;
  try {
    result = work();
  } catch (thrown) {
    return failed(thrown);
  }
  if (!isThenable(result)) return done(result);
  return (result instanceof Promise ? result : Promise.resolve(result)).then(done, failed);
}

function always(): boolean {
  return true;
}
