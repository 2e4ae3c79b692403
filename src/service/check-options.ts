import { ServableError } from "../errors.ts";
import { kindOf, refuseUnknownKeys, type KeysOf, type KnownKeys } from "../known-keys.ts";
import type { BatchPolicy, ServiceInfo, ServicePolicy } from "./definition.ts";
import type { RequestHandler, ResponseHandler } from "./handlers/handler.ts";

const policyKeys = {
  placement: true,
  workers: true,
  concurrency: true,
  queue: true,
  deadlineMs: true,
  killAfterMs: true,
  stages: { workers: "needed" },
  devices: true,
  batching: { maxRows: true, maxDelayMs: true, waitAlone: true, preferredRows: true } satisfies KeysOf<BatchPolicy>,
  maxBodyBytes: true,
} satisfies KeysOf<ServicePolicy>;

const infoKeys = {
  name: true,
  description: true,
  input: true,
  output: true,
  request: true,
  response: true,
  validateOutput: true,
  jsonSchema: { input: true, output: true },
  example: true,
  warmup: true,
  model: true,
  loadModel: true,
  policy: policyKeys,
} satisfies KeysOf<ServiceInfo>;

/**
 * Refuses words that a definition does not know.
 *
 * @param own - what it has besides a {@link ServiceInfo}
 * @throws ServableError `invalid_config`
 */
export function checkInfoKeys(info: object | undefined, own: readonly string[]): void {
  const known: KnownKeys = { ...infoKeys, ...Object.fromEntries(own.map((key) => [key, true as const])) };
  const { name }: { readonly name?: unknown } = info ?? {};
  refuseUnknownKeys(info, known, typeof name === "string" && name !== "" ? `Service '${name}'` : "A service");
}

/** @param whose - to begin a sentence with @throws ServableError `invalid_config` */
export function checkPolicyKeys(policy: ServicePolicy, whose: string): void {
  refuseUnknownKeys(policy, policyKeys, whose, "policy");
}

/**
 * @param needed - the members that must be functions
 * @param optional - those that may be left out
 * @throws ServableError `invalid_config`
 */
export function checkFunctions(info: { readonly name: string }, needed: readonly string[], optional: readonly string[]): void {
  for (const key of [...needed, ...optional]) {
    const value: unknown = Reflect.get(info, key);
    if (typeof value === "function" || (value === undefined && !needed.includes(key))) continue;
    const wrong = value === undefined ? ` has no \`${key}\` function` : `: its \`${key}\` must be a function, not ${kindOf(value)}`;
    throw new ServableError("invalid_config", `Service '${info.name}'${wrong}.`);
  }
}

/** @throws ServableError `invalid_config` for what is no handler, and for a media type that no header could carry */
export function checkHandlers(service: string, request: readonly RequestHandler[], response: readonly ResponseHandler[]): void {
  for (const handler of request) checkHandler(service, handler, "request", "deserialize");
  for (const handler of response) checkHandler(service, handler, "response", "serialize");
  checkMediaTypes(service, [...request, ...response]);
}

function checkHandler(service: string, handler: unknown, side: string, method: string): void {
  const whose = `The ${side} handler of service '${service}'`;
  if (typeof handler !== "object" || handler === null) {
    const hint = typeof handler === "function" ? "; of a class, give an instance" : "";
    throw new ServableError("invalid_config", `${whose} must be an object such as new JsonHandler(), not ${kindOf(handler)}${hint}.`);
  }
  if (typeof Reflect.get(handler, method) === "function") return;
  throw new ServableError("invalid_config", `${whose} has no method \`${method}\`.`);
}

function checkMediaTypes(service: string, handlers: readonly (RequestHandler | ResponseHandler)[]): void {
  for (const { mediaTypes } of handlers) {
    if (!Array.isArray(mediaTypes) || mediaTypes.length === 0) {
      throw new ServableError(
        "invalid_config",
        `A handler of service '${service}' names no media type: give it mediaTypes: ["text/csv"], say.`,
      );
    }
    const odd = (mediaTypes as readonly unknown[]).find(
      (mediaType) => typeof mediaType !== "string" || !/^[!-~]+\/[ -~]*[!-~]$/.test(mediaType),
    );
    if (odd === undefined) continue;
    throw new ServableError(
      "invalid_config",
      `A handler of service '${service}' has the media type ${JSON.stringify(odd)}; one is like "text/csv", in plain letters.`,
    );
  }
}
