import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { clientKeys, resolveClient, type ClientOptions, type ResolvedClient } from "../options.ts";
import { isNode, type BodyOptions, type Compression } from "./bodies.ts";

/** How a client reaches its server. Retries are for requests that were turned away, and for those that only read. */
export interface OpenInferenceClientOptions extends ClientOptions {
  /** Compresses the bodies of inferences. @default none */
  readonly requestCompression?: Compression | undefined;
  /**
   * Asks for compressed answers. Without it Node's own fetch is kept from asking, since compressing tensors takes longer than a network;
   * what a browser asks for, nobody can change.
   *
   * @default none
   */
  readonly responseCompression?: Compression | undefined;
}

const keys = {
  ...clientKeys,
  requestCompression: true,
  responseCompression: true,
} satisfies KeysOf<OpenInferenceClientOptions>;

/** {@link OpenInferenceClientOptions}, checked, with every default filled. */
export interface ResolvedInferenceClient {
  readonly client: ResolvedClient;
  readonly bodies: BodyOptions;
}

/** @throws ServableError `invalid_argument` for an address or an option that makes no sense, `invalid_config` for an option that there is not */
export function resolveInferenceClient(url: string | URL, options: OpenInferenceClientOptions): ResolvedInferenceClient {
  refuseUnknownKeys(options, keys, "OpenInferenceClient");
  checkCompression("requestCompression", options.requestCompression);
  checkCompression("responseCompression", options.responseCompression);
  const headers = { "accept-encoding": options.responseCompression ?? "identity" };
  // A fetch of somebody else's may not know streams.
  const streams = options.fetch === undefined && isNode();
  return Object.freeze({ client: resolveClient(url, options), bodies: { compression: options.requestCompression, streams, headers } });
}

function checkCompression(name: string, value: unknown): void {
  if (value === undefined || value === "gzip" || value === "deflate") return;
  throw new ServableError("invalid_argument", `${name} must be 'gzip' or 'deflate'; it is ${JSON.stringify(value)}.`);
}
