import { ServableError } from "../errors.ts";
import { toCallContext } from "./call-context.ts";
import { makeDefinition } from "./define-service.ts";
import { isDefinition, type ServiceDefinition, type ServiceInfo } from "./definition.ts";
import type { CallInput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption, WireOf } from "./inference.ts";
import { Service, isServiceClass, type CallResult, type ServiceContext, type SetupContext } from "./service.ts";

/* eslint-disable @typescript-eslint/no-explicit-any -- an inference seam: steps are inferred, and checked against each other below */
type ServiceClass<I = any, O = any> = new (...args: any[]) => Service<I, O>;
/** A step without arguments: a class of services, or a definition. */
export type StepTarget = ServiceClass | ServiceDefinition<string, any, any, any>;
/** A step: a target alone, or a class with the arguments of its constructor. */
export type Step = StepTarget | readonly [StepTarget, ...unknown[]];

type Target<S> = S extends readonly [infer T, ...unknown[]] ? T : S;
/** What a step takes. */
export type StepInput<S> =
  Target<S> extends ServiceClass<infer I> ? I : Target<S> extends ServiceDefinition<string, infer I, any, any> ? I : never;
/** What a step gives. */
export type StepOutput<S> =
  Target<S> extends ServiceClass<any, infer O> ? O : Target<S> extends ServiceDefinition<string, any, infer O, any> ? O : never;

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
export type FittingSteps<Steps extends readonly unknown[]> = Steps extends readonly [infer A, infer B, ...infer Rest]
  ? StepOutput<A> extends StepInput<B>
    ? readonly [ArgumentsFit<A>, ...FittingSteps<readonly [B, ...Rest]>]
    : readonly [ArgumentsFit<A>, ServiceClass<StepOutput<A>, StepOutput<B>>, ...Rest]
  : Steps extends readonly [infer Only]
    ? readonly [ArgumentsFit<Only>]
    : Steps;

type LastOf<Steps extends readonly unknown[]> = Steps extends readonly [...unknown[], infer Last] ? Last : Steps[number];
/* eslint-enable @typescript-eslint/no-explicit-any */

/** What a pipeline takes: what its first step takes. */
export type PipelineInput<Steps extends readonly unknown[]> = StepInput<Steps[0]>;
/** What a pipeline gives: what its last step gives. */
export type PipelineOutput<Steps extends readonly unknown[]> = StepOutput<LastOf<Steps>>;

interface RunningStep {
  readonly name: string;
  readonly service: Service;
}

/**
 * Services in a row: each step's answer is the next one's request. Neighbours whose types do not fit are an error at compile
 * time. Each step's time appears in the log under its name.
 *
 * @example
 * ```ts
 * import { PipelineService, Service } from "servable";
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
 * export const pipeline = new PipelineService([Trim, [Repeat, 2]]);
 * ```
 */
export class PipelineService<const Steps extends readonly Step[]> extends Service<PipelineInput<Steps>, PipelineOutput<Steps>> {
  readonly #steps: readonly RunningStep[];

  /** @throws ServableError `invalid_config` for no steps, or a step that is not a service */
  constructor(steps: Steps & FittingSteps<Steps>) {
    super();
    if (steps.length === 0) throw new ServableError("invalid_config", "A pipeline needs at least one step.");
    this.#steps = steps.map((step, index) => construct(step, index));
  }

  override async setup(context: SetupContext): Promise<void> {
    await Promise.all(this.#steps.map(async ({ service }) => service.setup?.(context)));
  }

  override call(request: PipelineInput<Steps>, context: ServiceContext): CallResult<PipelineOutput<Steps>> {
    return this.#run(request, context) as CallResult<PipelineOutput<Steps>>;
  }

  async #run(request: unknown, context: ServiceContext): Promise<unknown> {
    const callContext = toCallContext(context);
    let value = request;
    for (const { name, service } of this.#steps) {
      callContext.throwIfAborted();
      value = await context.stage(name, () => service.call(value, context));
    }
    return value;
  }

  override async close(): Promise<void> {
    const results = await Promise.allSettled(this.#steps.map(async ({ service }) => service.close?.()));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}

function construct(step: Step, index: number): RunningStep {
  const [target, ...args] = (Array.isArray(step) ? step : [step]) as readonly [StepTarget, ...unknown[]];
  if (isDefinition(target)) return { name: target.name, service: target.create() };
  if (isServiceClass(target)) return { name: target.name, service: new target(...(args as never[])) };
  throw new ServableError(
    "invalid_config",
    `Step ${index + 1} of the pipeline is not a service: give a class that extends Service, or a definition.`,
  );
}

/** What {@link definePipeline} takes. */
export interface DefinePipelineOptions<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
  Steps extends readonly Step[],
> extends Omit<ServiceInfo, "name" | "input" | "output" | "request" | "response"> {
  readonly name: N;
  readonly input?: S;
  readonly output?: T;
  readonly request?: Q;
  readonly response?: P;
  /** The services, in order. */
  readonly steps: Steps & FittingSteps<Steps>;
}

/** Defines a {@link PipelineService} as a service of its own, with a name, handlers and schemas. */
export function definePipeline<
  const N extends string,
  const Steps extends readonly Step[],
  S extends StreamableSchemaOption = undefined,
  T extends SchemaOption = undefined,
  Q extends RequestOption = undefined,
  P extends ResponseOption = undefined,
>(
  options: DefinePipelineOptions<N, S, T, Q, P, Steps>,
): ServiceDefinition<
  N,
  PipelineInput<Steps>,
  PipelineOutput<Steps>,
  WireOf<S, T, Q, P, unknown extends CallInput<S, Q> ? PipelineInput<Steps> : CallInput<S, Q>, PipelineOutput<Steps>>
> {
  return makeDefinition(options, () => new PipelineService<Steps>(options.steps));
}
