import type { FastifyInstance, FastifyPluginAsync, FastifyPluginCallback } from "fastify";
import { ServableError } from "../../errors.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import type { ServiceSource } from "../../engine/service-source.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { isLoopback, tlsKeys } from "../address.ts";

/** How services are served over HTTP. */
export interface HttpRuntimeOptions {
  /** What is served: definitions, classes of services, or LoaderSpecs (which threads need). */
  readonly services: readonly ServiceSource[];
  /** @default "127.0.0.1" */
  readonly host?: string | undefined;
  /** 0 takes any free port. @default 3000 */
  readonly port?: number | undefined;
  /**
   * A file of bearer tokens, or a Fastify plugin of your own that adds an `onRequest` hook (one with options: wrap it, or give
   * `(app) => app.register(plugin, options)` where it is made with `fastify-plugin`). Off loopback one of them is needed. Health routes
   * stay open; without either, pages of other origins are turned away, see `corsOrigins`.
   */
  readonly auth?: { readonly tokenFile: string } | { readonly plugin: FastifyPluginCallback | FastifyPluginAsync } | undefined;
  /** Serves anybody, also off loopback. @default false */
  readonly allowUnauthenticated?: boolean | undefined;
  /** Serves HTTPS with this certificate and key, both PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Origins whose pages may call, such as `https://example.com`; `*` for all. @default none but the server's own */
  readonly corsOrigins?: readonly string[] | undefined;
  /** Serves the page at `/`. @default true */
  readonly page?: boolean | undefined;
  /** Time for what is in flight when the runtime stops. @default 30000 */
  readonly graceMs?: number | undefined;
  /** @default pino, to standard output */
  readonly log?: EngineLogger | undefined;
  /** See what the engine does, besides the log and the metrics. */
  readonly observers?: readonly Observer[] | undefined;
  /**
   * Adds plugins, hooks and routes of your own to the Fastify instance before it listens, and before ours are added: your hooks reach
   * these, and what they throw becomes a problem document there with its status kept. Your own routes are handled as Fastify does, or
   * your own error and not-found handlers do.
   */
  readonly configure?: ((app: FastifyInstance) => void | Promise<void>) | undefined;
}

/** {@link HttpRuntimeOptions} with every default filled in. */
export interface ResolvedHttpOptions {
  readonly host: string;
  readonly port: number;
  readonly auth: HttpRuntimeOptions["auth"];
  readonly tls: HttpRuntimeOptions["tls"];
  readonly corsOrigins: readonly string[];
  readonly page: boolean;
  readonly graceMs: number;
}

const keys = {
  services: "needed",
  host: true,
  port: true,
  auth: { tokenFile: true, plugin: true },
  allowUnauthenticated: true,
  tls: tlsKeys,
  corsOrigins: true,
  page: true,
  graceMs: true,
  log: true,
  observers: true,
  configure: true,
} satisfies KeysOf<HttpRuntimeOptions>;

/** Fills in the defaults. @throws ServableError `invalid_config` for an address that would serve strangers, and for impossible numbers */
export function resolveHttpOptions(options: HttpRuntimeOptions): ResolvedHttpOptions {
  refuseUnknownKeys(options, keys, "HttpRuntime");
  const host = options.host ?? "127.0.0.1";
  const port = options.port ?? 3000;
  const graceMs = options.graceMs ?? 30_000;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ServableError("invalid_config", `The port must be a whole number from 0 to 65535, not ${port}.`);
  }
  if (!Number.isFinite(graceMs) || graceMs < 0) {
    throw new ServableError("invalid_config", `The grace time must be 0 ms or more, not ${graceMs}.`);
  }
  // Plain JavaScript can give one that is neither, which would turn nobody away.
  const { tokenFile, plugin }: { readonly tokenFile?: unknown; readonly plugin?: unknown } = options.auth ?? {};
  if (options.auth !== undefined && tokenFile === undefined && plugin === undefined) {
    throw new ServableError("invalid_config", "HttpRuntime: its auth must have a tokenFile or a plugin.");
  }
  if (!isLoopback(host) && options.auth === undefined && options.allowUnauthenticated !== true) {
    throw new ServableError(
      "invalid_config",
      `Serving on ${host} would let anybody in who can reach this machine. Give a token file (--token-file), ` +
        "or allow it on purpose (--allow-unauthenticated).",
    );
  }
  return Object.freeze({
    host,
    port,
    auth: options.auth,
    tls: options.tls,
    corsOrigins: options.corsOrigins ?? [],
    page: options.page ?? true,
    graceMs,
  });
}
