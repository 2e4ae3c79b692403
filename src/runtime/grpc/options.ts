import { ServableError } from "../../errors.ts";
import type { KeysOf } from "../../known-keys.ts";
import { isLoopback, mutualTlsKeys, type MutualTlsFiles } from "../address.ts";

/** The most that a gRPC message may be, 2 GiB - 1. */
export const largestMessageBytes: number = 2 ** 31 - 1;

/** How a gRPC server listens. */
export interface GrpcListenOptions {
  /** @default "127.0.0.1" */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port?: number | undefined;
  /** Clients send `authorization: Bearer <token>` with one of this file's tokens. Off loopback it is needed. @default none need to */
  readonly auth?: { readonly tokenFile: string } | undefined;
  /** Serves anybody, also off loopback. @default false */
  readonly allowUnauthenticated?: boolean | undefined;
  /** Serves TLS with this certificate and key, both PEM files. */
  readonly tls?: MutualTlsFiles | undefined;
  /** Largest message, either way. */
  readonly maxMessageBytes?: number | undefined;
  /** Calls that one connection may have open at once. @default 1024 */
  readonly maxConcurrentStreams?: number | undefined;
  /** Connections on which nothing moves are tried after `timeMs`, and cut when no answer comes within `timeoutMs`. @default 2 hours and 20 s */
  readonly keepalive?: { readonly timeMs?: number | undefined; readonly timeoutMs?: number | undefined } | undefined;
  /** Connections are told to end after `ageMs`, and cut `graceMs` later; a client makes a new one. @default never */
  readonly connectionAge?: { readonly ageMs: number; readonly graceMs?: number | undefined } | undefined;
  /** Also answers what it is that it serves. @default true, where the package `@grpc/reflection` is installed */
  readonly reflection?: boolean | undefined;
  /** Answers of the server are compressed so, for clients that all can read it. @default "none" */
  readonly responseCompression?: ResponseCompression | undefined;
}

/** The keys of {@link GrpcListenOptions}. */
export const grpcListenKeys: KeysOf<GrpcListenOptions> = {
  host: true,
  port: true,
  auth: { tokenFile: "needed" },
  allowUnauthenticated: true,
  tls: mutualTlsKeys,
  maxMessageBytes: true,
  maxConcurrentStreams: true,
  keepalive: { timeMs: true, timeoutMs: true },
  connectionAge: { ageMs: "needed", graceMs: true },
  reflection: true,
  responseCompression: true,
};

/** How answers are compressed. */
export type ResponseCompression = "none" | "gzip" | "deflate";

/** {@link GrpcListenOptions} with every default filled in. */
export interface ResolvedGrpcListen {
  readonly host: string;
  readonly port: number;
  readonly tokenFile: string | undefined;
  readonly tls: MutualTlsFiles | undefined;
  readonly maxMessageBytes: number;
  readonly maxConcurrentStreams: number;
  readonly keepaliveTimeMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectionAge: { readonly ageMs: number; readonly graceMs?: number | undefined } | undefined;
  readonly reflection: boolean | undefined;
  readonly responseCompression: ResponseCompression;
}

/** Fills in the defaults. @throws ServableError `invalid_config` for an address that would serve strangers, and for impossible numbers */
export function resolveGrpcListen(
  options: GrpcListenOptions,
  defaults: { readonly port: number; readonly maxMessageBytes: number },
): ResolvedGrpcListen {
  const host = options.host ?? "127.0.0.1";
  const resolved: ResolvedGrpcListen = Object.freeze({
    host,
    port: options.port ?? defaults.port,
    tokenFile: options.auth?.tokenFile,
    tls: options.tls,
    maxMessageBytes: options.maxMessageBytes ?? defaults.maxMessageBytes,
    maxConcurrentStreams: options.maxConcurrentStreams ?? 1_024,
    keepaliveTimeMs: options.keepalive?.timeMs ?? 7_200_000,
    keepaliveTimeoutMs: options.keepalive?.timeoutMs ?? 20_000,
    connectionAge: options.connectionAge,
    reflection: options.reflection,
    responseCompression: options.responseCompression ?? "none",
  });
  within("port", resolved.port, 0, 65_535);
  within("maxMessageBytes", resolved.maxMessageBytes, 1, largestMessageBytes);
  within("maxConcurrentStreams", resolved.maxConcurrentStreams, 1, 2 ** 31 - 1);
  within("keepalive.timeMs", resolved.keepaliveTimeMs, 1, 2 ** 31 - 1);
  within("keepalive.timeoutMs", resolved.keepaliveTimeoutMs, 1, 2 ** 31 - 1);
  const { ageMs = 1, graceMs = 0 } = resolved.connectionAge ?? {};
  within("connectionAge.ageMs", ageMs, 1, 2 ** 31 - 1);
  within("connectionAge.graceMs", graceMs, 0, 2 ** 31 - 1);
  if (!isLoopback(host) && resolved.tokenFile === undefined && options.allowUnauthenticated !== true) {
    throw new ServableError(
      "invalid_config",
      `Serving on ${host} would let anybody in who can reach this machine. Give a token file (auth.tokenFile), ` +
        "or allow it on purpose (allowUnauthenticated).",
    );
  }
  return resolved;
}

/** @throws ServableError `invalid_config` */
function within(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ServableError("invalid_config", `${name} must be a whole number from ${least} to ${most}, not ${value}.`);
}
