import type { FastifyInstance, FastifyRequest } from "fastify";
import { ServableError } from "../../../errors.ts";
import type { KeysOf } from "../../../known-keys.ts";
import type { Logger } from "../../../service/service.ts";
import { isLoopback, readTls, tlsKeys, type AddressFlags, type TlsFiles } from "../../address.ts";
import { Connections } from "../connections.ts";
import type { QuickCall } from "../quick/quick-call.ts";
import { closeListener, listen } from "../listener.ts";
import { TokenFile } from "../tokens.ts";
import { failureAnswer, plainSending, sendAnswer } from "./answer.ts";
import { createModelApp } from "./app.ts";

/** Where the listeners of a model server listen, and for whom. */
export interface GuardedListenerOptions {
  /** @default "127.0.0.1" */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port?: number | undefined;
  /** A file of bearer tokens. Off loopback it is needed. */
  readonly auth?: { readonly tokenFile: string } | undefined;
  /** Serves anybody, also off loopback. @default false */
  readonly allowUnauthenticated?: boolean | undefined;
  readonly tls?: TlsFiles | undefined;
  /** Origins whose pages may call, such as `https://example.com`; `*` for all. @default none but the server's own */
  readonly corsOrigins?: readonly string[] | undefined;
  readonly log: Logger;
}

/** The keys of {@link GuardedListenerOptions}. */
export const listenerKeys: KeysOf<GuardedListenerOptions> = {
  host: true,
  port: true,
  auth: { tokenFile: "needed" },
  allowUnauthenticated: true,
  tls: tlsKeys,
  corsOrigins: true,
  log: "needed",
};

/** What a front is to its listener. */
export interface Mounted {
  readonly defaultPort: number;
  readonly flags: AddressFlags;
  /** Adds its routes. @param preflight - OPTIONS is answered already, for pages of other origins */
  mount(app: FastifyInstance, preflight: boolean): void;
  /** Takes a request that came whole, of somebody who may ask it, or leaves it to its routes: false. */
  takeQuick?(call: QuickCall): boolean;
  /** What everybody may ask, whoever they are. */
  isPublic(method: string, path: string): boolean;
  /** Something went wrong that a client is told nothing of. */
  logUnforeseen(thrown: unknown): void;
}

/**
 * A listener on a port of its own, with tokens, TLS and CORS before its one front. It ends in two steps, between which what it serves
 * stops: `drain` takes nothing new and lets what has come be answered, `stop` waits for what is still to be sent.
 */
export class GuardedListener {
  readonly #front: Mounted;
  readonly #options: GuardedListenerOptions;
  readonly #host: string;
  readonly #port: number;
  readonly #connections = new Connections();
  #app: FastifyInstance | undefined;
  #tokens: TokenFile | undefined;
  #url: string | undefined;

  /** @throws ServableError `invalid_config` for an address that would serve strangers, and for a port that can't be */
  constructor(front: Mounted, options: GuardedListenerOptions) {
    this.#front = front;
    this.#options = options;
    this.#host = options.host ?? "127.0.0.1";
    this.#port = options.port ?? front.defaultPort;
    checkAddress(this.#host, this.#port, options, front.flags);
  }

  /** Where it listens, such as `http://127.0.0.1:8000`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    if (this.#url === undefined) throw new ServableError("not_ready", "The server does not listen yet: await start() first.");
    return this.#url;
  }

  /** Listens. @throws ServableError `address_in_use`, `invalid_config` */
  async start(): Promise<void> {
    if (this.#app !== undefined) throw new ServableError("invalid_argument", "A server is started once.");
    const { tls, auth, corsOrigins = [], log } = this.#options;
    const app = createModelApp(tls && readTls(tls), (thrown) => {
      this.#front.logUnforeseen(thrown);
    });
    this.#app = app;
    // Before the routes: only what comes after a hook gets it.
    if (corsOrigins.length > 0) await addCors(app, corsOrigins);
    if (auth !== undefined) this.#guard(app, (this.#tokens = new TokenFile(auth.tokenFile, log)));
    this.#front.mount(app, corsOrigins.length > 0);
    // Hooks of CORS are Fastify's to run.
    if (corsOrigins.length === 0) this.#addQuickLane(app);
    this.#connections.watch(app.server);
    try {
      this.#url = await listen(app, { host: this.#host, port: this.#port, tls, flags: this.#front.flags });
    } catch (thrown) {
      await this.stop(0);
      throw thrown;
    }
  }

  /**
   * Takes no new connections, and resolves when all that came over those there are is answered, and they are closed: at the latest after `graceMs`. What
   * it serves still runs.
   */
  async drain(graceMs: number): Promise<void> {
    const until = performance.now() + graceMs;
    const leftMs = (): number => Math.max(0, until - performance.now());
    await this.#connections.arrived();
    if (this.#app !== undefined) closeListener(this.#app.server);
    await this.#connections.flushed(graceMs);
    if (this.#connections.areFlushed) await this.#connections.hangUp(leftMs());
  }

  /** Lets answers be sent for so long, then cuts what is left. */
  async stop(graceMs: number): Promise<void> {
    if (this.#app !== undefined) closeListener(this.#app.server);
    await this.#connections.flushed(graceMs);
    this.#connections.cut();
    await this.#app?.close();
    this.#tokens?.close();
  }

  #addQuickLane(app: FastifyInstance): void {
    const front = this.#front;
    if (front.takeQuick === undefined) return;
    this.#connections.addQuickLane(app.server, (call) => {
      const isKnown = this.#tokens?.accepts(call.head.headers.authorization) ?? true;
      return isKnown && front.takeQuick?.(call) === true;
    });
  }

  #guard(app: FastifyInstance, tokens: TokenFile): void {
    app.addHook("onRequest", (request, reply, done) => {
      if (this.#front.isPublic(request.method, pathOf(request)) || tokens.accepts(request.headers.authorization)) {
        done();
        return;
      }
      const text = "This server asks for a token: send the header `authorization: Bearer <token>`.";
      sendAnswer(reply, failureAnswer(new ServableError("unauthenticated", text)), plainSending);
    });
  }
}

/** As it came: nothing that only decodes into a path passes for it. */
export function pathOf({ raw: { url = "" } }: FastifyRequest): string {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
}

function checkAddress(host: string, port: number, options: GuardedListenerOptions, flags: AddressFlags): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ServableError("invalid_config", `The port (${flags.port}) must be a whole number from 0 to 65535, not ${port}.`);
  }
  if (isLoopback(host) || options.auth !== undefined || options.allowUnauthenticated === true) return;
  throw new ServableError(
    "invalid_config",
    `Serving models on ${host} would let anybody in who can reach this machine. Give a token file (--token-file), ` +
      "or allow it on purpose (--allow-unauthenticated).",
  );
}

async function addCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  const { default: cors } = await import("@fastify/cors");
  await app.register(cors, {
    origin: origins.includes("*") ? "*" : [...origins],
    methods: ["GET", "POST"],
    exposedHeaders: ["inference-header-content-length", "retry-after"],
  });
}
