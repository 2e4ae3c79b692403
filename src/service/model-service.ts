/** What the services around a model have in common: how they are defined. */
import type { ServiceDefinition, ServiceInfo } from "./definition.ts";
import type { CallInput, CallOutput, RequestOption, ResponseOption, SchemaOption, StreamableSchemaOption, WireOf } from "./inference.ts";
import { misfit } from "./misfit.ts";
import type { ModelLoader } from "./model-loader.ts";
import type { ServiceContext } from "./service.ts";

/** How a service runs its model. */
export interface ModelServiceOptions<I> {
  /** Whose turn it is where requests wait for the model: lower numbers go first. @default 0 for all */
  priority?(request: I, context: ServiceContext): number;
}

/** Asks whose turn a request is. @throws ServableError `service_failed` for what is no number: it would spoil the order of all that wait */
export function askPriority<I>(options: ModelServiceOptions<I>, request: I, context: ServiceContext): number | undefined {
  const priority = options.priority?.(request, context) ?? undefined;
  if (priority === undefined || (typeof priority === "number" && !Number.isNaN(priority))) return priority;
  throw misfit("priority", "a number", priority);
}

/** What every service around a model is defined by. */
export interface ModelServiceInfo<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
>
  extends
    Omit<ServiceInfo, "name" | "input" | "output" | "request" | "response" | "model" | "loadModel">,
    ModelServiceOptions<CallInput<S, Q>> {
  readonly name: N;
  readonly input?: S;
  readonly output?: T;
  readonly request?: Q | RequestOption;
  readonly response?: P | ResponseOption;
  /** Loads the model; called once per place where it runs. */
  readonly model: ModelLoader;
}

/** The definition of a service around a model. */
export type ModelServiceDefinition<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
> = ServiceDefinition<N, CallInput<S, Q>, CallOutput<T, P>, WireOf<S, T, Q, P, CallInput<S, Q>, CallOutput<T, P>>>;

/** Of a definition what says whose turn it is. */
export function priorityOf<I>(options: ModelServiceOptions<I>): ModelServiceOptions<I> {
  return options.priority === undefined ? {} : { priority: options.priority.bind(options) };
}
