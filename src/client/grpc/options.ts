import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { resolveClient, type ClientOptions, type ResolvedClient } from "../options.ts";

/** How a client reaches its server over gRPC. */
export interface GrpcClientOptions extends Omit<ClientOptions, "fetch"> {
  /** Compresses what is sent. Answers are read however they come. @default none */
  readonly compression?: "gzip" | "deflate" | undefined;
  /** For `grpcs://`: authorities to trust, and the client's own certificate, all PEM. @default the system's authorities */
  readonly tls?:
    { readonly ca?: Uint8Array | undefined; readonly cert?: Uint8Array | undefined; readonly key?: Uint8Array | undefined } | undefined;
  /** The largest answer. @default 2147483647 */
  readonly maxMessageBytes?: number | undefined;
}

const keys = {
  token: true,
  headers: true,
  timeoutMs: true,
  retries: true,
  compression: true,
  tls: { ca: true, cert: true, key: true },
  maxMessageBytes: true,
} satisfies KeysOf<GrpcClientOptions>;

/** {@link GrpcClientOptions}, checked, with every default filled. */
export interface ResolvedGrpcClient {
  readonly client: ResolvedClient;
  /** Host and port. */
  readonly target: string;
  readonly secure: boolean;
  readonly compression: GrpcClientOptions["compression"];
  readonly tls: GrpcClientOptions["tls"];
  readonly maxMessageBytes: number;
}

/** @throws ServableError `invalid_argument` for an address or an option that makes no sense, `invalid_config` for an option that there is not */
export function resolveGrpcClient(url: string, options: GrpcClientOptions): ResolvedGrpcClient {
  refuseUnknownKeys(options, keys, "GrpcInferenceClient");
  const [, scheme = "grpc", target = ""] = /^(?:(grpcs?):\/\/)?([^/?#@]+)\/?$/.exec(url) ?? [];
  const maxMessageBytes = options.maxMessageBytes ?? 2 ** 31 - 1;
  if (target === "") {
    throw new ServableError(
      "invalid_argument",
      `'${url}' is no address of a gRPC server: write it like grpc://127.0.0.1:8001, or grpcs:// for TLS.`,
    );
  }
  if (!Number.isInteger(maxMessageBytes) || maxMessageBytes < 1 || maxMessageBytes >= 2 ** 31) {
    throw new ServableError("invalid_argument", `maxMessageBytes must be a whole number from 1 to 2147483647; it is ${maxMessageBytes}.`);
  }
  const { token, headers, timeoutMs, retries } = options;
  const secure = scheme === "grpcs";
  // The options that it shares with the others are checked in one place; of the address only its form is.
  const client = resolveClient(`${secure ? "https" : "http"}://${target}`, { token, headers, timeoutMs, retries });
  return Object.freeze({ client, target, secure, compression: options.compression, tls: options.tls, maxMessageBytes });
}
