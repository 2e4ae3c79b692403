import { ServableError, type ErrorCode } from "../errors.ts";
import type { CallContext } from "./call-context.ts";
import { chain } from "./chain.ts";
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

/** What a failure in a stage is called. An abort that reached the code as an exception keeps its own reason. */
export function stageFailure(stage: Stage, thrown: unknown, context: CallContext): ServableError {
  if (context.abortReason !== undefined && isAbort(thrown)) return context.abortReason;
  if (ServableError.isInstance(thrown)) {
    if (passedOn.has(thrown.code)) return inStage(stage, thrown);
  } else if (stage !== "call" && thrown instanceof RangeError && thrown.message.includes("call stack")) {
    return inStage(stage, new ServableError("invalid_request", "The value is nested too deeply.", { cause: thrown }));
  }
  return inStage(stage, new ServableError(codeOfStage[stage], messageOfStage[stage], { cause: thrown ?? String(thrown) }));
}

function inStage(stage: Stage, error: ServableError): ServableError {
  error.stage ??= stage;
  return error;
}

function isAbort(thrown: unknown): boolean {
  return ServableError.isInstance(thrown) || (thrown instanceof Error && (thrown.name === "AbortError" || thrown.name === "TimeoutError"));
}

/**
 * Checks the input, calls the service, checks the output: what every way to a service has in common.
 *
 * @returns one checked value, or an async iterable of checked values
 */
export function callChecked(
  service: Service,
  checks: Checks,
  value: unknown,
  context: CallContext,
  since: number = performance.now(),
): MaybePromise<unknown> {
  const { input } = checks;
  if (input === undefined) return callService(service, checks, value, context, performance.now());
  if (checks.inputStream) return callService(service, checks, checkedItems(value, input, context), context, performance.now());
  return chain(
    attempt("validate", context, () => validate(input, value, "input")),
    (request) => {
      context.record("validate", since);
      return callService(service, checks, request, context, performance.now());
    },
  );
}

function callService(service: Service, checks: Checks, request: unknown, context: CallContext, since: number): MaybePromise<unknown> {
  context.throwIfAborted();
  return chain(
    attempt("call", context, () => service.call(request, context)),
    (result) => {
      if (isAsyncIterable(result)) return checkedStream(result, checks, context);
      context.record("call", since);
      return checkOutput(result, checks, context);
    },
  );
}

function checkOutput(result: unknown, checks: Checks, context: CallContext): MaybePromise<unknown> {
  const { output } = checks;
  if (output === undefined || !checks.validateOutput) return result;
  return attempt("validate", context, () => validate(output, result, "output"));
}

async function* checkedItems(items: unknown, schema: Schema, context: CallContext): AsyncGenerator {
  if (!isAsyncIterable(items))
    throw new ServableError("invalid_request", "The input must be an async iterable of items.", { stage: "validate" });
  let index = 0;
  for await (const item of items) {
    try {
      yield await attempt("validate", context, () => validate(schema, item, "input"));
    } catch (thrown) {
      if (!ServableError.isInstance(thrown) || thrown.issues.length === 0) throw thrown;
      const issues = thrown.issues.map(({ path, message }) => ({ path: [index, ...path], message }));
      throw new ServableError(thrown.code, `Item ${index} of the stream does not fit the service's schema.`, { issues, stage: "validate" });
    }
    index += 1;
  }
}

async function* checkedStream(items: AsyncIterable<unknown>, checks: Checks, context: CallContext): AsyncGenerator {
  const since = performance.now();
  try {
    for await (const item of items) {
      context.throwIfAborted();
      yield await checkOutput(item, checks, context);
    }
  } catch (thrown) {
    throw stageFailure("call", thrown, context);
  } finally {
    context.record("call", since);
  }
}

/** Runs one stage; what it throws, now or later, becomes that stage's failure. */
export function attempt<T>(stage: Stage, context: CallContext, work: () => MaybePromise<T>): MaybePromise<T> {
  let result: MaybePromise<T>;
  try {
    result = work();
  } catch (thrown) {
    throw stageFailure(stage, thrown, context);
  }
  if (!isThenable(result)) return result;
  return (result instanceof Promise ? result : Promise.resolve(result)).catch((thrown: unknown) => {
    throw stageFailure(stage, thrown, context);
  });
}

/** Some libraries' promises (an ORM's query, say) are not of the class Promise. */
function isThenable<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise || (typeof value === "object" && value !== null && "then" in value && typeof value.then === "function");
}
