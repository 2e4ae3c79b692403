import { ServableError } from "../../../errors.ts";
import type { EngineLogger } from "../../../engine/observer.ts";
import { refuseUnknownKeys, type KeysOf } from "../../../known-keys.ts";
import type { ModelPlane } from "../../model-plane.ts";
import { listenerKeys, type GuardedListenerOptions } from "./guarded-listener.ts";
import { resolveRestrictions, restrictedKeys, type RestrictedApi, type Restrictions } from "./restrictions.ts";

/** How a model server is served over HTTP; its port is 8000 by default. */
export interface ModelHttpServerOptions extends GuardedListenerOptions {
  /** What is served; started and stopped by whoever made it. */
  readonly plane: ModelPlane;
  /** Largest JSON of a request, raw request, and compressed request once it is unpacked. @default 64 MiB */
  readonly maxInputBytes?: number | undefined;
  /** Most bytes of binary tensors in one request, which Triton does not bound. @default 2 GiB */
  readonly maxBinaryBytes?: number | undefined;
  /** Groups of routes that ask for a header. @default none */
  readonly restricted?: readonly RestrictedApi[] | undefined;
  /** Headers whose names it matches become parameters of the request. @default none */
  readonly headerForwardPattern?: RegExp | undefined;
  readonly log: EngineLogger;
}

/** What the front needs of {@link ModelHttpServerOptions}, with every default filled in. */
export interface FrontOptions {
  readonly plane: ModelPlane;
  readonly maxInputBytes: number;
  readonly maxBinaryBytes: number;
  readonly restrictions: Restrictions | undefined;
  readonly headerForwardPattern: RegExp | undefined;
  /** Origins whose pages may call besides the server's own; undefined for all. */
  readonly origins: readonly string[] | undefined;
  readonly log: EngineLogger;
}

const keys = {
  ...listenerKeys,
  plane: "needed",
  maxInputBytes: true,
  maxBinaryBytes: true,
  restricted: [restrictedKeys],
  headerForwardPattern: true,
} satisfies KeysOf<ModelHttpServerOptions>;

const defaultMaxInputBytes = 64 * 1024 * 1024;
const defaultMaxBinaryBytes = 2 * 1024 ** 3;

/** Fills in the defaults. @throws ServableError `invalid_config` for impossible numbers, and for options that there are not */
export function resolveFrontOptions(options: ModelHttpServerOptions): FrontOptions {
  refuseUnknownKeys(options, keys, "ModelHttpServer");
  return Object.freeze({
    plane: options.plane,
    maxInputBytes: positive("maxInputBytes", options.maxInputBytes ?? defaultMaxInputBytes),
    maxBinaryBytes: positive("maxBinaryBytes", options.maxBinaryBytes ?? defaultMaxBinaryBytes),
    restrictions: resolveRestrictions(options.restricted ?? []),
    headerForwardPattern: options.headerForwardPattern,
    // Whoever has a token may use it from any page.
    origins: options.auth === undefined ? (options.corsOrigins ?? []) : undefined,
    log: options.log,
  });
}

function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ServableError("invalid_config", `${name} must be a whole number above 0, not ${value}.`);
}
