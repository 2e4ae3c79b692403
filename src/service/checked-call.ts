import { ServableError, messageOf, type ErrorCode, type ServableErrorOptions } from "../errors.ts";
import type { CallContext } from "./call-context.ts";
import { isThenable } from "./chain.ts";
import type { ServiceDefinition } from "./definition.ts";
import { validate, type Schema, type SchemaRole } from "./schema.ts";
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
    if (stage !== "call" && thrown instanceof RangeError && messageOf(thrown).includes("call stack")) {
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

/** How a value is read from bytes and written to them. */
export interface Codec {
  deserialize(source: unknown): unknown;
  serialize(value: unknown): unknown;
  /** What a stream of answers is handed on as; its items are checked, and not yet written. */
  stream(items: AsyncIterable<unknown>): unknown;
}

/**
 * Checks the input, calls the service, checks the output: what every way to a service has in common.
 *
 * @param timed - whether the stages' times are noted; a pipeline times its steps itself
 * @param codec - where the value comes as bytes, and the answer is to be bytes
 * @returns one checked value, or an async iterable of checked values
 */
export function callChecked(
  service: Service,
  checks: Checks,
  value: unknown,
  context: CallContext,
  timed = true,
  codec?: Codec,
): MaybePromise<unknown> {
  return new CheckedCall(service, checks, context, timed, codec).run(value);
}

const lastStep = 4;

/**
 * One call on its way through its stages. A small machine instead of closures handed to one another: a stage that answers at once is
 * followed by the next one in the same loop, and only one that promises its answer costs a promise. For small requests this is
 * most of what a call costs.
 */
class CheckedCall {
  readonly #service: Service;
  readonly #checks: Checks;
  readonly #context: CallContext;
  readonly #timed: boolean;
  readonly #codec: Codec | undefined;
  /** 0 deserialize, 1 validate, 2 call, 3 validate, 4 serialize. */
  #step: number;
  #since = 0;
  #streams = false;

  constructor(service: Service, checks: Checks, context: CallContext, timed: boolean, codec: Codec | undefined) {
    this.#service = service;
    this.#checks = checks;
    this.#context = context;
    this.#timed = timed;
    this.#codec = codec;
    this.#step = codec === undefined || checks.inputStream ? 1 : 0;
  }

  run(value: unknown): MaybePromise<unknown> {
    if (this.#timed) this.#since = this.#context.takeHandedOn() ?? performance.now();
    return this.#goOn(value);
  }

  #goOn(start: unknown): MaybePromise<unknown> {
    let value = start;
    while (this.#step <= lastStep) {
      if (this.#isNeeded()) {
        if (this.#timed) this.#context.begin(stageOfStep[this.#step] ?? "call", this.#since);
        let result: unknown;
        try {
          result = this.#work(value);
        } catch (thrown) {
          throw this.#failure(thrown);
        }
        if (isThenable(result)) return this.#later(result);
        value = this.#end(result);
      } else {
        this.#step += 1;
      }
    }
    return value;
  }

  #later(result: Promise<unknown>): Promise<unknown> {
    // A Promise comes out of this as it is; whatever else can be awaited, a class of somebody's that extends Promise too, as one that keeps its word.
    return Promise.resolve(result).then(
      (value: unknown) => this.#goOn(this.#end(value)),
      (thrown: unknown) => {
        throw this.#failure(thrown);
      },
    );
  }

  #isNeeded(): boolean {
    const { input, output, inputStream, validateOutput } = this.#checks;
    switch (this.#step) {
      case 1:
        return input !== undefined && !inputStream;
      case 3:
        return output !== undefined && validateOutput && !this.#streams;
      case 4:
        return this.#codec !== undefined && !this.#streams;
      default:
        return true;
    }
  }

  #work(value: unknown): unknown {
    const { input, output, inputStream } = this.#checks;
    switch (this.#step) {
      case 0:
        return this.#codec?.deserialize(value);
      case 1:
        return input && validate(input, value, "input");
      case 2:
        this.#context.throwIfAborted();
        return this.#service.call(inputStream && input !== undefined ? checkedItems(value, input, this.#context) : value, this.#context);
      case 3:
        return output && validate(output, value, "output");
      default:
        return this.#codec?.serialize(value);
    }
  }

  /** A stream's call is not over with its result; see {@link checkedStream}. */
  #end(result: unknown): unknown {
    if (this.#step === 2 && isAsyncIterable(result)) {
      this.#streams = true;
      this.#step += 1;
      const items = checkedStream(result, this.#checks, this.#context, this.#timed ? this.#since : undefined);
      return this.#codec === undefined ? items : this.#codec.stream(items);
    }
    if (this.#timed) this.#since = this.#context.record(stageOfStep[this.#step] ?? "call", this.#since);
    this.#step += 1;
    return result;
  }

  #failure(thrown: unknown): ServableError {
    const stage = stageOfStep[this.#step] ?? "call";
    if (this.#timed) this.#context.record(stage, this.#since);
    return stageFailure(stage, thrown, this.#context);
  }
}

const stageOfStep: readonly Stage[] = ["deserialize", "validate", "call", "validate", "serialize"];

async function* checkedItems(items: unknown, schema: Schema, context: CallContext): AsyncGenerator {
  if (!isAsyncIterable(items))
    throw new ServableError("invalid_request", "The input must be an async iterable of items.", { stage: "validate" });
  let index = 0;
  for await (const item of items) {
    try {
      yield await check(schema, item, "input", context);
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
  const { output, validateOutput } = checks;
  try {
    for await (const item of items) {
      context.throwIfAborted();
      yield output === undefined || !validateOutput ? item : await check(output, item, "output", context);
    }
  } catch (thrown) {
    throw stageFailure("call", thrown, context);
  } finally {
    if (since !== undefined) context.record("call", since);
  }
}

/** Checks one item of a stream. */
async function check(schema: Schema, item: unknown, role: SchemaRole, context: CallContext): Promise<unknown> {
  try {
    return await validate(schema, item, role);
  } catch (thrown) {
    throw stageFailure("validate", thrown, context);
  }
}
