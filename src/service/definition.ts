import type { RequestHandler, ResponseHandler } from "./handlers/handler.ts";
import type { JsonSchema, Schema, StreamSchema } from "./schema.ts";
import type { ModelLoader } from "./model-loader.ts";
import type { Service, ServiceContext } from "./service.ts";

/**
 * Where a service runs: on the thread that does I/O, on worker threads, or in child processes of its own. A process costs more memory and some
 * 60 µs a call, and nothing that happens in it reaches the server: native code that aborts, a heap that overflows, a call that hangs.
 */
export type Placement = "inline" | "thread" | "process";

/** How the requests of one model are put together. */
export interface BatchPolicy {
  /** Most rows in one batch; rows, not requests. @default 1: no batching */
  readonly maxRows?: number | undefined;
  /** Longest that a request waits for company which is on its way, while a worker is idle. @default 0 */
  readonly maxDelayMs?: number | undefined;
  /** Whether the delay is waited out also while no other request is on its way. @default false: waiting would gain nothing */
  readonly waitAlone?: boolean | undefined;
  /** Sizes in rows, below `maxRows`, at which a batch leaves without waiting for more. @default none */
  readonly preferredRows?: readonly number[] | undefined;
}

/** How a service is run. Everything here has a finite default, which the engine fills in. */
export interface ServicePolicy {
  /** @default "thread" for a service that says it has a model (`model: true`), else "inline" */
  readonly placement?: Placement | undefined;
  /** Worker threads or processes, each with its own instance. @default 1 */
  readonly workers?: number | undefined;
  /** Requests that run at the same time, over all workers. @default 64 */
  readonly concurrency?: number | undefined;
  /** Requests that wait while `concurrency` run; over it: `overloaded`. @default 256 */
  readonly queue?: number | undefined;
  /** Time for one answer, from its arrival; of a stream: to the first item, then between items. @default 30000 */
  readonly deadlineMs?: number | undefined;
  /**
   * In processes: how long a call that was given up, since its deadline passed or its client went away, may go on. Then, unless its process
   * works on another that is wanted, the process is killed and a new one started. Elsewhere such a call can't be stopped. @default 5000
   */
  readonly killAfterMs?: number | undefined;
  /**
   * Threads of their own for the stages around a model (`preprocess` and `postprocess` of an `InferenceService`), for stages that compute for
   * long: on the thread that does I/O they would hold up everything else.
   *
   * @default none: they run on the thread that does I/O
   */
  readonly stages?: { readonly workers: number } | undefined;
  /** The device of each worker, by number, from the first one again where there are more workers: its model is loaded with it (`place.device`). @default none */
  readonly devices?: readonly number[] | undefined;
  /** How requests are put together for the service's model; for services that `defineInference` or `defineBatchable` made. */
  readonly batching?: BatchPolicy | undefined;
  /** Largest body, and largest item of an input stream. @default 16 MiB */
  readonly maxBodyBytes?: number | undefined;
}

/** What describes a service, before any of it runs. */
export interface ServiceInfo {
  /** Its route and its name everywhere: letters, digits, `-` and `_`, starting with a letter. */
  readonly name: string;
  /** One or two sentences for the page and for OpenAPI. */
  readonly description?: string | undefined;
  /** Checks and types what `call` gets. */
  readonly input?: Schema | StreamSchema | undefined;
  /** Checks and types what `call` gives; each item, where that is a stream. */
  readonly output?: Schema | undefined;
  /** Bytes to input. @default JSON */
  readonly request?: RequestHandler | readonly RequestHandler[] | undefined;
  /** Output to bytes. @default JSON */
  readonly response?: ResponseHandler | readonly ResponseHandler[] | undefined;
  /** Whether output is checked by its schema. @default true */
  readonly validateOutput?: boolean | undefined;
  /** JSON Schemas by hand, for schemas that can't tell their own. */
  readonly jsonSchema?: { readonly input?: JsonSchema | undefined; readonly output?: JsonSchema | undefined } | undefined;
  /** An input to try, shown by the page and by OpenAPI. */
  readonly example?: unknown;
  /**
   * Requests that are run, as a client's would be and unseen by it, wherever the service is placed, before it is ready: a model's first runs are its slowest.
   * One that fails keeps the service from starting. With batching each runs alone and in a full batch.
   *
   * @default none
   */
  readonly warmup?: readonly unknown[] | undefined;
  /** Whether it runs a model, which blocks its thread: such services are placed on a thread unless they ask for another place. */
  readonly model?: boolean | undefined;
  /** Loads the model that the engine places, for services that leave that to the engine. */
  readonly loadModel?: ModelLoader | undefined;
  /** How it is run. */
  readonly policy?: ServicePolicy | undefined;
}

/** What a typed client sees of a service. Only types: never a value at run time. */
export interface ClientTypes {
  /** What a client passes: the schema's input, or what the request handler says its clients pass (a Blob, say). */
  readonly input: unknown;
  /** What a client gets: the schema's output, or what the response handler says its clients get. */
  readonly output: unknown;
  /** Whether the client gets a stream of `output`. */
  readonly stream: boolean;
  /** What a bare `call` takes: the schema's input, or what the request handler reads. */
  readonly argument: unknown;
  /** What a bare `call` gives. */
  readonly result: unknown;
}

const marker: unique symbol = Symbol.for("servable.definition");

/**
 * A service's definition: everything that can be known, and imported, without running any of it. `create` constructs the
 * instance, which happens only where the service is placed.
 */
export interface ServiceDefinition<N extends string = string, I = unknown, O = unknown, T extends ClientTypes = ClientTypes> {
  readonly [marker]: true;
  readonly name: N;
  readonly description: string | undefined;
  readonly input: Schema | undefined;
  readonly output: Schema | undefined;
  /** Whether `call` takes a stream of inputs. */
  readonly inputStream: boolean;
  /** Whether `call` gives a stream: true or false where the definition shows it, undefined where only the call will. */
  readonly outputStream: boolean | undefined;
  readonly request: readonly RequestHandler[];
  readonly response: readonly ResponseHandler[];
  readonly validateOutput: boolean;
  readonly inputJsonSchema: JsonSchema | undefined;
  readonly outputJsonSchema: JsonSchema | undefined;
  readonly example: unknown;
  readonly warmup: readonly unknown[];
  readonly model: boolean;
  /** Loads the model that the engine places apart from the service; undefined where it leaves that to the service. */
  readonly loadModel: ModelLoader | undefined;
  readonly policy: ServicePolicy;
  /** Constructs an instance, without `setup`. */
  create(): Service<I, O>;
  /**
   * Runs the service here and now, with validation and without any runtime: for tests and scripts. The instance is set up
   * at the first call and kept.
   */
  call(
    request: T["argument"],
    context?: Partial<ServiceContext>,
  ): T["stream"] extends true ? AsyncIterable<T["result"]> : Promise<T["result"]>;
  /** Never set: carries T to the typed client. */
  readonly "~client"?: T;
}

/** Any definition, whatever its types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- an inference seam: `unknown` would refuse every typed definition here
export type AnyServiceDefinition = ServiceDefinition<string, any, any, any>;

/** Brands a definition. */
export function brand<D extends object>(definition: D): D & { readonly [marker]: true } {
  return Object.assign(definition, { [marker]: true } as const);
}

/** Whether a value is a service's definition, also one made by another installed copy of this package. */
export function isDefinition(value: unknown): value is AnyServiceDefinition {
  return typeof value === "object" && value !== null && marker in value;
}
