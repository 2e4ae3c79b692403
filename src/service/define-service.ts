import { ServableError } from "../errors.ts";
import { callBare } from "./bare-call.ts";
import { StateContext } from "./call-context.ts";
import { checkFunctions, checkHandlers, checkInfoKeys } from "./check-options.ts";
import {
  brand,
  isDefinition,
  type AnyServiceDefinition,
  type ClientTypes,
  type ServiceDefinition,
  type ServiceInfo,
} from "./definition.ts";
import type { RequestHandler, ResponseHandler } from "./handlers/handler.ts";
import { JsonHandler } from "./handlers/json-handler.ts";
import { isSchema, isStreamSchema, jsonSchemaOf, schemaHint } from "./schema.ts";
import type {
  CallInput,
  CallOutput,
  ItemOf,
  RequestOption,
  ResponseOption,
  SchemaOption,
  StreamableSchemaOption,
  WireOf,
} from "./inference.ts";
import { Service, isServiceClass, type CallResult, type MaybePromise, type ServiceContext, type SetupContext } from "./service.ts";

/** What {@link defineService} takes: a {@link ServiceInfo} and the functions. */
export interface DefineServiceOptions<
  N extends string,
  S extends StreamableSchemaOption,
  T extends SchemaOption,
  Q extends RequestOption,
  P extends ResponseOption,
  State,
  R,
> extends Omit<ServiceInfo, "name" | "input" | "output" | "request" | "response"> {
  readonly name: N;
  readonly input?: S;
  readonly output?: T;
  // With Q alone, the parameters of a handler that is written here would have no types.
  readonly request?: Q | RequestOption;
  readonly response?: P | ResponseOption;
  /** Loads what calls need, once per place where the service runs; what it gives is `context.state`. */
  readonly setup?: (context: SetupContext) => MaybePromise<State>;
  /** Answers one request. */
  readonly call: (request: CallInput<S, Q>, context: ServiceContext & { readonly state: State }) => R;
  /** Frees what `setup` gave. */
  readonly close?: (state: State) => MaybePromise<void>;
}

/**
 * Defines a service as an object.
 *
 * @throws ServableError `invalid_config` for a name that can't be a route, or options that contradict each other
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { z } from "zod";
 *
 * export const double = defineService({
 *   name: "double",
 *   input: z.object({ x: z.number() }),
 *   output: z.object({ y: z.number() }),
 *   call: ({ x }) => ({ y: 2 * x }),
 * });
 * ```
 */
export function defineService<
  const N extends string,
  R extends CallResult<CallOutput<T, P>>,
  S extends StreamableSchemaOption = undefined,
  T extends SchemaOption = undefined,
  Q extends RequestOption = undefined,
  P extends ResponseOption = undefined,
  State = undefined,
>(
  options: DefineServiceOptions<N, S, T, Q, P, State, R>,
): ServiceDefinition<N, CallInput<S, Q>, ItemOf<R>, WireOf<S, T, Q, P, CallInput<S, Q>, R>> {
  checkInfoKeys(options, ["setup", "call", "close"]);
  checkFunctions(options, ["call"], ["setup", "close"]);
  class FunctionService extends Service<CallInput<S, Q>, ItemOf<R>> {
    #state: State | undefined;
    override async setup(context: SetupContext): Promise<void> {
      this.#state = await options.setup?.(context);
    }
    override call(request: CallInput<S, Q>, context: ServiceContext): CallResult<ItemOf<R>> {
      const result: unknown = options.call(request, new StateContext(context, this.#state as State));
      return result as CallResult<ItemOf<R>>;
    }
    override async close(): Promise<void> {
      await options.close?.(this.#state as State);
    }
  }
  return makeDefinition(options, () => new FunctionService(), options.call);
}

const reservedNames = new Set(["livez", "readyz", "startupz", "metrics", "tasks", "v2", "then", "toJSON"]);

/** Checks a {@link ServiceInfo}, fills its defaults, and makes the definition. */
export function makeDefinition<N extends string, I, O, W extends ClientTypes>(
  info: Omit<ServiceInfo, "name"> & { readonly name: N },
  create: () => Service<I, O>,
  call?: unknown,
): ServiceDefinition<N, I, O, W> {
  const { name, input, output } = info;
  if (typeof name !== "string" || !/^[A-Za-z][A-Za-z0-9_-]{0,62}$/.test(name)) {
    const shown = typeof name === "string" ? `'${name as string}'` : typeof name;
    throw new ServableError(
      "invalid_config",
      `A service's name must be 1 to 63 letters, digits, '-' or '_', starting with a letter; this one is ${shown}.`,
    );
  }
  if (reservedNames.has(name)) {
    throw new ServableError(
      "invalid_config",
      `'${name}' is reserved (a route of the runtime, or a member of every client); give the service another name.`,
    );
  }
  const inputStream = isStreamSchema(input);
  const inputSchema = isStreamSchema(input) ? input.item : input;
  for (const [role, schema] of [
    ["input", inputSchema],
    ["output", output],
  ] as const) {
    if (schema !== undefined && !isSchema(schema)) {
      throw new ServableError(
        "invalid_config",
        `The ${role} of service '${name}' is not a Standard Schema. zod 3.24, valibot 1.0 and arktype 2.0 or newer speak it.${schemaHint(schema, role)}`,
      );
    }
  }
  const request = listOf(info.request) ?? [new JsonHandler()];
  if (inputStream && info.request !== undefined) {
    throw new ServableError("invalid_config", `Service '${name}' takes a stream of JSON items, so it can't have request handlers.`);
  }
  const response = listOf(info.response) ?? [new JsonHandler()];
  checkHandlers(name, request, response);
  const definition: ServiceDefinition<N, I, O, W> = brand({
    name,
    description: info.description,
    input: inputSchema,
    output,
    inputStream,
    outputStream: isAsyncGeneratorFunction(call) ? true : undefined,
    request,
    response,
    validateOutput: info.validateOutput ?? true,
    inputJsonSchema: jsonSchemaOf(inputSchema, "input", info.jsonSchema?.input),
    outputJsonSchema: jsonSchemaOf(output, "output", info.jsonSchema?.output),
    example: info.example,
    model: info.model ?? false,
    loadModel: info.loadModel,
    warmup: info.warmup ?? [],
    policy: Object.freeze({ ...info.policy }),
    create,
    call: (argument: unknown, context?: Partial<ServiceContext>) =>
      callBare(definition, argument, context) as ReturnType<typeof definition.call>,
  });
  return Object.freeze(definition);
}

/**
 * The definition of what a module exports: a definition as it is, or one made of a class of services, whose static
 * `definition` describes it and whose constructor gets `args`.
 *
 * @returns undefined for anything that is not a service
 */
export function definitionOf(exported: unknown, args: readonly unknown[] = [], exportName = "service"): AnyServiceDefinition | undefined {
  if (isDefinition(exported)) return exported;
  if (!isServiceClass(exported)) return undefined;
  const info = (exported as { definition?: Partial<ServiceInfo> }).definition ?? {};
  checkInfoKeys({ name: exported.name, ...info }, []);
  const fallback = exported.name || exportName;
  const name = info.name ?? fallback.charAt(0).toLowerCase() + fallback.slice(1);
  const create = (): Service => {
    const service = new exported(...(args as never[]));
    // Looked for here, since it may be a field of the instance.
    if (typeof (service as Partial<Service>).call === "function") return service;
    throw new ServableError("invalid_config", `Service '${name}': its class ${fallback} has no method \`call\`.`);
  };
  return makeDefinition({ ...info, name }, create, Reflect.get(exported.prototype as object, "call"));
}

function listOf<H extends RequestHandler | ResponseHandler>(option: H | readonly H[] | undefined): readonly H[] | undefined {
  if (option === undefined) return undefined;
  const list = Array.isArray(option) ? (option as readonly H[]) : [option as H];
  return list.length === 0 ? undefined : list;
}

function isAsyncGeneratorFunction(value: unknown): boolean {
  return typeof value === "function" && Object.prototype.toString.call(value) === "[object AsyncGeneratorFunction]";
}
