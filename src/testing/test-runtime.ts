import { createClient } from "../client/create-client.ts";
import type { Client } from "../client/client-types.ts";
import type { CallOptions } from "../client/options.ts";
import type { ServiceEntry } from "../engine/service-source.ts";
import type { Observer } from "../engine/observer.ts";
import { ServableError } from "../errors.ts";
import { kindOf, refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { fetchHandler, type FetchHandler } from "../runtime/http/fetch-handler.ts";
import type { Runtime } from "../runtime/runtime.ts";
import {
  isDefinition,
  type AnyServiceDefinition,
  type ClientTypes,
  type ServiceDefinition,
  type ServicePolicy,
} from "../service/definition.ts";
import { isService, isServiceClass } from "../service/service.ts";

/** A service, or several by name: what a module exports will do. */
export type TestServices = AnyServiceDefinition | (new () => object) | Readonly<Record<string, unknown>>;

/** How a {@link TestRuntime} runs its services. */
export interface TestRuntimeOptions {
  /** Wins over each service's own; the placement is always inline. */
  readonly policy?: ServicePolicy | undefined;
  readonly observers?: readonly Observer[] | undefined;
}

const keys = { policy: true, observers: true } satisfies KeysOf<TestRuntimeOptions>;

/**
 * Runs services with everything between the wire and the service (handlers, schemas, limits, deadlines, errors) and no socket.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { createTestRuntime } from "servable/testing";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const runtime = createTestRuntime(hello);
 * const answer = await runtime.client.hello(null);
 * await runtime.stop();
 * ```
 */
export class TestRuntime<T extends TestServices> implements Runtime {
  /** A typed client of these services. */
  readonly client: Client<T>;
  readonly stopped: Promise<void>;
  readonly #handle: FetchHandler;
  #markStopped: () => void = () => undefined;

  /** @throws ServableError `invalid_config` */
  constructor(services: T, options: TestRuntimeOptions = {}) {
    refuseUnknownKeys(options, keys, "TestRuntime");
    const policy = { ...options.policy, placement: "inline" as const };
    const entries: ServiceEntry[] = listOf(services).map((service) => ({ service, policy }));
    this.#handle = fetchHandler(entries, { observers: options.observers });
    this.client = createClient<T>("http://in-memory.test", { fetch: (url, init) => this.fetch(new Request(url, init)), retries: 0 });
    this.stopped = new Promise((resolve) => {
      this.#markStopped = resolve;
    });
  }

  /** Sets the services up; the first call does it, too. @throws ServableError `load_failed` */
  start(): Promise<void> {
    return this.#handle.start();
  }

  /** Sends a request as an HTTP client would, headers and all. */
  fetch(request: Request): Promise<Response> {
    return this.#handle(request);
  }

  /** Lets what is in flight finish, then closes the services. @param graceMs - default 30000 */
  async stop(graceMs?: number): Promise<void> {
    await this.#handle.close(graceMs);
    this.#markStopped();
  }
}

/** Makes a {@link TestRuntime} of a service, or of several by name. */
export function createTestRuntime<T extends TestServices>(services: T, options: TestRuntimeOptions = {}): TestRuntime<T> {
  return new TestRuntime(services, options);
}

/**
 * Calls a service once through its handlers, as a client would, and closes it.
 *
 * @returns what a client gets; of a stream, the list of its items
 * @throws ServableError as a client would see it
 */
export async function callService<N extends string, T extends ClientTypes>(
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what `call` takes and gives plays no part here
  definition: ServiceDefinition<N, any, any, T>,
  input: T["input"],
  options?: CallOptions,
): Promise<T["stream"] extends true ? T["output"][] : T["output"]> {
  refuseOthers(definition);
  const runtime = createTestRuntime(definition);
  try {
    // What stands in the way of a service is told here, not only in its log.
    await runtime.start();
    const methods = runtime.client as Readonly<Record<string, (input: unknown, options?: CallOptions) => PromiseLike<unknown>>>;
    const result = await methods[definition.name]?.(input, options);
    return (isIterable(result) ? await collect(result) : result) as T["stream"] extends true ? T["output"][] : T["output"];
  } finally {
    await runtime.stop();
  }
}

/** Plain JavaScript may give anything. */
function refuseOthers(given: unknown): void {
  if (given === undefined || isDefinition(given)) return;
  const what = isServiceClass(given) ? "a class" : isService(given) ? "an instance" : kindOf(given);
  const name = isServiceClass(given) ? given.name : isService(given) ? given.constructor.name : undefined;
  const instead = name === undefined ? "" : `; call ${name} as a client does: createTestRuntime(${name}).client`;
  throw new ServableError("invalid_argument", `callService takes what defineService gives, not ${what}${instead}.`);
}

function listOf(services: TestServices): ServiceEntry["service"][] {
  if (isDefinition(services)) return [services];
  if (isServiceClass(services)) return [services as new () => object];
  const given: unknown = services;
  if (isService(given)) {
    throw new ServableError("invalid_argument", `This is an instance of ${given.constructor.name}: give its class.`);
  }
  if (typeof given !== "object" || given === null) {
    throw new ServableError("invalid_argument", "There is nothing to test: give a service, or several by name.");
  }
  return Object.values(services).filter((value) => isDefinition(value) || isServiceClass(value)) as ServiceEntry["service"][];
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value && !(value instanceof ReadableStream);
}

async function collect(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const item of items) list.push(item);
  return list;
}
