import { refuseUnknownKeys } from "../known-keys.ts";
import type { Answer } from "./answer.ts";
import { readBatch } from "./batch.ts";
import { CallClock } from "./call-clock.ts";
import type { BatchResult, Client } from "./client-types.ts";
import { callKeys, clientKeys, resolveCall, resolveClient, type CallOptions, type ClientOptions, type ResolvedClient } from "./options.ts";
import { createReply, type Reply } from "./reply.ts";
import { encodeBatch, encodeInput } from "./request-body.ts";
import { send } from "./send.ts";

/** A method as it runs: the definition's types are not there any more. */
interface Method {
  (input: unknown, options?: CallOptions): Reply;
  batch(inputs: readonly unknown[], options?: CallOptions): Promise<BatchResult<unknown>[]>;
}

// With a `then`, `await client` would call a service; with a `toJSON`, so would writing the client to a log.
const notServices: ReadonlySet<string> = new Set(["then", "toJSON"]);
const serviceName = /^[A-Za-z][\w-]*$/;

/**
 * Makes a typed client with one method per service, under its literal name. Only the types of the services are used: nothing is
 * generated, and none of the services' code comes along. Runs wherever there is `fetch`: Node, browsers, workers.
 *
 * An input goes out as JSON, unless it is a Blob (sent with its own type), an ArrayBuffer or a typed array
 * (`application/octet-stream`), a FormData, or an async iterable (newline-delimited JSON, sent while it is made; in a browser,
 * collected first). An answer comes back by its content type: JSON as its value, `application/octet-stream` as a Uint8Array,
 * `text/plain` as a string, a stream as an async iterable, anything else as a Blob.
 *
 * @typeParam T - `typeof service`, or `typeof import("./services.ts")` for all services of a module
 * @param url - where the runtime is, with its path prefix if it has one; in a browser it may be relative to the page
 * @throws ServableError `invalid_argument` for a URL or an option that makes no sense, `invalid_config` for an option that there is not
 * @example
 * ```ts
 * import { createClient, ServableError } from "servable/client";
 * import { defineService } from "servable";
 * import { z } from "zod";
 *
 * // Usually in a module of its own, of which a client imports only the type: import type { double } from "./double.ts".
 * const double = defineService({
 *   name: "double",
 *   input: z.object({ x: z.number() }),
 *   output: z.object({ y: z.number() }),
 *   call: ({ x }) => ({ y: 2 * x }),
 * });
 *
 * const client = createClient<typeof double>("http://127.0.0.1:3000", { timeoutMs: 5_000 });
 *
 * export async function twice(x: number): Promise<number> {
 *   try {
 *     const { y } = await client.double({ x });
 *     return y;
 *   } catch (error) {
 *     if (ServableError.isInstance(error) && error.code === "overloaded") return Number.NaN;
 *     throw error;
 *   }
 * }
 *
 * export async function twiceEach(numbers: readonly number[]): Promise<(number | undefined)[]> {
 *   const results = await client.double.batch(numbers.map((x) => ({ x })));
 *   return results.map((result) => result.output?.y);
 * }
 * ```
 */
export function createClient<T>(url: string | URL, options: ClientOptions = {}): Client<T> {
  refuseUnknownKeys(options, clientKeys, "createClient");
  const client = resolveClient(url, options);
  const methods = new Map<string, Method>();
  const handler: ProxyHandler<object> = {
    get(_target, name) {
      if (typeof name !== "string" || notServices.has(name) || !serviceName.test(name)) return undefined;
      const method = methods.get(name) ?? createMethod(client, name);
      methods.set(name, method);
      return method;
    },
  };
  // The methods are made when they are asked for: at run time nobody knows which services there are, so T is a promise of the caller.
  return new Proxy(Object.create(null) as object, handler) as Client<T>;
}

function createMethod(client: ResolvedClient, service: string): Method {
  const source = { origin: client.origin, service };
  const label = `${service} at ${client.origin}`;
  const whose = `A call of ${service}`;

  function call(input: unknown, options: CallOptions = {}): Reply {
    let clock: CallClock | undefined;
    async function answer(): Promise<Answer> {
      refuseUnknownKeys(options, callKeys, whose);
      const resolved = resolveCall(client, options);
      const started = (clock = new CallClock(resolved, label));
      return send({ client, call: resolved, clock, source, path: service, encode: () => encodeInput(input, started.signal) });
    }
    return createReply(answer(), () => clock?.leave());
  }

  async function batch(inputs: readonly unknown[], options: CallOptions = {}): Promise<BatchResult<unknown>[]> {
    refuseUnknownKeys(options, callKeys, whose);
    const resolved = resolveCall(client, options);
    if (inputs.length === 0) return [];
    const clock = new CallClock(resolved, label);
    const answer = await send({ client, call: resolved, clock, source, path: `${service}/batch`, encode: () => encodeBatch(inputs) });
    return readBatch(answer, inputs.length, source);
  }

  return Object.assign(call, { batch });
}
