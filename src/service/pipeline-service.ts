import { ServableError } from "../errors.ts";
import { toCallContext } from "./call-context.ts";
import { callChecked } from "./checked-call.ts";
import { checkInfoKeys } from "./check-options.ts";
import { definitionOf, makeDefinition } from "./define-service.ts";
import type { AnyServiceDefinition, ServiceDefinition, ServiceInfo } from "./definition.ts";
import type { CallInput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption, WireOf } from "./inference.ts";
import { streamOf } from "./schema.ts";
import { Service, type CallResult, type ServiceContext, type SetupContext } from "./service.ts";

/* eslint-disable @typescript-eslint/no-explicit-any -- an inference seam: steps are inferred, and checked against each other below */
type ServiceClass<I = any, O = any> = new (...args: any[]) => Service<I, O>;
/** A step without arguments: a class of services, or a definition. */
export type StepTarget = ServiceClass | AnyServiceDefinition;
/** A step: a target alone, or a class with the arguments of its constructor. */
export type Step = StepTarget | readonly [StepTarget, ...unknown[]];
/** The steps of a pipeline: at least one. */
export type Steps = readonly [Step, ...Step[]];

type Target<S> = S extends readonly [infer T, ...unknown[]] ? T : S;
type Called<T> = T extends abstract new (...args: any[]) => { call(...args: any[]): infer R } ? R : never;

/** What a step takes. */
export type StepInput<S> =
  Target<S> extends ServiceDefinition<string, any, any, infer W> ? W["argument"] : Target<S> extends ServiceClass<infer I> ? I : never;
/** What a step gives: one value, or each of a stream's. */
export type StepOutput<S> =
  Target<S> extends ServiceDefinition<string, any, any, infer W> ? W["result"] : Target<S> extends ServiceClass<any, infer O> ? O : never;
/** What the next step gets: one value, or the stream itself. */
export type StepResult<S> =
  Target<S> extends ServiceDefinition<string, any, any, infer W>
    ? W["stream"] extends true
      ? AsyncIterable<StepOutput<S>>
      : StepOutput<S>
    : Awaited<Called<Target<S>>> extends AsyncIterable<unknown>
      ? AsyncIterable<StepOutput<S>>
      : StepOutput<S>;

type ArgumentsFit<S> = S extends readonly [infer T, ...infer Args]
  ? T extends abstract new (...args: infer Wanted) => unknown
    ? Args extends Wanted
      ? S
      : readonly [T, ...Wanted]
    : readonly [T]
  : S extends abstract new (...args: infer Wanted) => unknown
    ? [] extends Wanted
      ? S
      : readonly [S, ...Wanted]
    : S;

/** The steps themselves where each fits its neighbour; else the first that does not, as the type it should have had. */
export type FittingSteps<S extends readonly unknown[]> = S extends readonly [infer A, infer B, ...infer Rest]
  ? StepResult<A> extends StepInput<B>
    ? readonly [ArgumentsFit<A>, ...FittingSteps<readonly [B, ...Rest]>]
    : readonly [ArgumentsFit<A>, ServiceClass<StepResult<A>, StepOutput<B>>, ...Rest]
  : S extends readonly [infer Only]
    ? readonly [ArgumentsFit<Only>]
    : S;

type LastOf<S extends readonly unknown[]> = S extends readonly [...unknown[], infer Last] ? Last : S[number];
/* eslint-enable @typescript-eslint/no-explicit-any */

/** What a pipeline takes: what its first step takes. */
export type PipelineInput<S extends readonly unknown[]> = StepInput<S[0]>;
/** What a pipeline gives: what its last step gives. */
export type PipelineOutput<S extends readonly unknown[]> = StepOutput<LastOf<S>>;

interface RunningStep {
  readonly definition: AnyServiceDefinition;
  readonly service: Service;
}

/**
 * Services in a row: each step's answer is the next one's request. Neighbours whose types do not fit are an error at compile
 * time. Each step's time appears in the log under its name.
 *
 * @example
 * ```ts
 * import { Service, definePipeline } from "servable";
 *
 * class Trim extends Service<string, string> {
 *   override call(text: string): string {
 *     return text.trim();
 *   }
 * }
 * class Repeat extends Service<string, string> {
 *   readonly #times: number;
 *   constructor(times: number) {
 *     super();
 *     this.#times = times;
 *   }
 *   override call(text: string): string {
 *     return text.repeat(this.#times);
 *   }
 * }
 * export const echo = definePipeline({ name: "echo", steps: [Trim, [Repeat, 2]] });
 * ```
 */
export class PipelineService<const S extends Steps> extends Service<PipelineInput<S>, PipelineOutput<S>> {
  readonly #steps: readonly RunningStep[];

  /** @throws ServableError `invalid_config` for no steps, or a step that is not a service */
  constructor(steps: S & FittingSteps<S>) {
    super();
    this.#steps = definitionsOf(steps).map((definition) => ({ definition, service: definition.create() }));
  }

  override async setup(context: SetupContext): Promise<void> {
    const results = await Promise.allSettled(this.#steps.map(async ({ service }) => service.setup?.(context)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return;
    const ready = this.#steps.filter((_, index) => results[index]?.status === "fulfilled");
    await Promise.allSettled(ready.map(async ({ service }) => service.close?.()));
    throw failed.reason;
  }

  override call(request: PipelineInput<S>, context: ServiceContext): CallResult<PipelineOutput<S>> {
    return this.#run(request, context) as CallResult<PipelineOutput<S>>;
  }

  async #run(request: unknown, context: ServiceContext): Promise<unknown> {
    const callContext = toCallContext(context);
    let value = request;
    for (const { definition, service } of this.#steps) {
      value = await context.stage(definition.name, () => callChecked(service, definition, value, callContext, false));
    }
    return value;
  }

  override async close(): Promise<void> {
    const results = await Promise.allSettled(this.#steps.map(async ({ service }) => service.close?.()));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}

/** The definition of each step; one of a class holds the class and its arguments. */
function definitionsOf(steps: readonly Step[]): readonly AnyServiceDefinition[] {
  if (!Array.isArray(steps)) throw new ServableError("invalid_config", "The steps of a pipeline must be a list of services.");
  if (steps.length === 0) throw new ServableError("invalid_config", "A pipeline needs at least one step.");
  return (steps as readonly Step[]).map((step, index) => {
    const [target, ...args] = (Array.isArray(step) ? step : [step]) as readonly [StepTarget, ...unknown[]];
    const definition = definitionOf(target, args, `step${index + 1}`);
    if (definition !== undefined) return definition;
    throw new ServableError(
      "invalid_config",
      `Step ${index + 1} of the pipeline is not a service: give a class that extends Service, or a definition.`,
    );
  });
}

/** What {@link definePipeline} takes. */
export interface DefinePipelineOptions<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
  L extends Steps,
> extends Omit<ServiceInfo, "name" | "input" | "output" | "request" | "response"> {
  readonly name: N;
  readonly input?: S;
  readonly output?: T;
  readonly request?: Q | RequestOption;
  readonly response?: P | ResponseOption;
  /** The services, in order. */
  readonly steps: L & FittingSteps<L>;
}

/**
 * Defines a {@link PipelineService} as a service of its own. What it does not say itself it has of its steps: input schema and request
 * handlers of the first, output schema and response handlers of the last, and a model where one of them has one.
 */
export function definePipeline<
  const N extends string,
  const L extends Steps,
  S extends StreamableSchemaOption = undefined,
  T extends SchemaOption = undefined,
  Q extends RequestOption = undefined,
  P extends ResponseOption = undefined,
>(
  options: DefinePipelineOptions<N, S, T, Q, P, L>,
): ServiceDefinition<
  N,
  PipelineInput<L>,
  PipelineOutput<L>,
  WireOf<S, T, Q, P, unknown extends CallInput<S, Q> ? PipelineInput<L> : CallInput<S, Q>, StepResult<LastOf<L>>>
> {
  checkInfoKeys(options, ["steps"]);
  const definitions = definitionsOf(options.steps);
  const [first, last] = [definitions[0], definitions.at(-1)];
  const inputOfFirst = first?.inputStream === true && first.input !== undefined ? streamOf(first.input) : first?.input;
  return makeDefinition(
    {
      ...options,
      input: options.input ?? (options.request === undefined ? inputOfFirst : undefined),
      output: options.output ?? (options.response === undefined ? last?.output : undefined),
      request: options.request ?? (options.input === undefined && first?.inputStream !== true ? first?.request : undefined),
      response: options.response ?? (options.output === undefined ? last?.response : undefined),
      model: options.model ?? definitions.some(({ model }) => model),
    },
    () => new PipelineService<L>(options.steps),
  );
}
