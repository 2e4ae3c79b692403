import { setMaxListeners } from "node:events";
import type {
  handleBidiStreamingCall,
  handleUnaryCall,
  Metadata,
  Server,
  ServerDuplexStream,
  ServerInterceptor,
  ServerUnaryCall,
  ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { ServableError } from "../../errors.ts";
import type { GrpcPackages } from "../../protocol/grpc/packages.ts";
import type { Logger } from "../../service/service.ts";
import { turnsTaken } from "../arrivals.ts";
import { TokenFile } from "../http/tokens.ts";
import { listenFailure, readTls } from "../address.ts";
import { Compression } from "./compression.ts";
import { GrpcConnections } from "./connections.ts";
import { textForStatus } from "./failure.ts";
import type { ResolvedGrpcListen } from "./options.ts";

/** One method, in bytes: whoever handles it reads and writes its messages. Both are streams, or neither is. */
export type HostedMethod =
  | { readonly kind: "unary"; readonly handle: handleUnaryCall<Buffer, Buffer> }
  | { readonly kind: "stream"; readonly handle: handleBidiStreamingCall<Buffer, Buffer> };

/** Says of a call, before anything of its message is read, why it is turned away; undefined where it may go on. */
export type CallGate = (path: string, metadata: Metadata) => { readonly code: status; readonly details: string } | undefined;

/** Answers that are written get this time at least to be sent. */
const flushMs = 1_000;
/** Connections that the system has taken and Node has not are taken before the listener closes, one a turn. */
const arrivingTurns = 64;
/** Of HTTP/2, for each call: with the usual 64 KiB a large tensor waits for its reader hundreds of times. */
const flowControlBytes = 4 * 1024 * 1024;

/** Listens for gRPC: limits, TLS, tokens, compression, and an end that lets calls finish. It knows no service. */
export class GrpcHost {
  readonly compression: Compression;
  /** Aborted when the host begins to stop: streams that have nothing in hand end then. */
  readonly draining: AbortSignal;
  readonly #packages: GrpcPackages;
  readonly #options: ResolvedGrpcListen;
  readonly #server: Server;
  readonly #tokens: TokenFile | undefined;
  readonly #drainer = new AbortController();
  readonly #connections = new GrpcConnections();
  #drained: Promise<void> | undefined;
  #listening = false;

  /**
   * @param gate - asked beside the tokens
   * @throws ServableError `invalid_config` for a token file that can't be read
   */
  constructor(packages: GrpcPackages, options: ResolvedGrpcListen, log: Logger, gate?: CallGate) {
    this.#packages = packages;
    this.#options = options;
    this.draining = this.#drainer.signal;
    // Every open stream listens, and Node would take the eleventh for a leak.
    setMaxListeners(0, this.draining);
    this.compression = new Compression(packages.grpc, options.responseCompression);
    this.#tokens = options.tokenFile === undefined ? undefined : new TokenFile(options.tokenFile, log);
    this.#server = new packages.grpc.Server({
      "grpc.max_receive_message_length": options.maxMessageBytes,
      "grpc.max_send_message_length": options.maxMessageBytes,
      "grpc.max_concurrent_streams": options.maxConcurrentStreams,
      "grpc.keepalive_time_ms": options.keepaliveTimeMs,
      "grpc.keepalive_timeout_ms": options.keepaliveTimeoutMs,
      ...connectionAgeOf(options),
      "grpc-node.flow_control_window": flowControlBytes,
      // Its book-keeping costs each call, and nobody asks for it.
      "grpc.enable_channelz": 0,
      interceptors: [...(this.#tokens === undefined ? [] : [this.#askToken(this.#tokens)]), ...(gate === undefined ? [] : [gate])].map(
        (one) => this.#guard(one),
      ),
    });
  }

  /** The server itself, for services that bring their own handlers, such as reflection. */
  get server(): Server {
    return this.#server;
  }

  /** Adds the methods of a service, by the names in their paths. */
  add(service: string, methods: Readonly<Record<string, HostedMethod>>): void {
    const definition: Record<string, ServiceDefinition[string]> = {};
    const handlers: Record<string, HostedMethod["handle"]> = {};
    for (const [name, { kind, handle }] of Object.entries(methods)) {
      definition[name] = {
        path: `/${service}/${name}`,
        requestStream: kind === "stream",
        responseStream: kind === "stream",
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      };
      handlers[name] = handle;
    }
    this.#server.addService(definition, handlers);
  }

  /** Listens. @returns its URL, `grpc://` or `grpcs://` @throws ServableError `invalid_config` or `address_in_use` */
  async listen(): Promise<string> {
    const { host, port, tls } = this.#options;
    const shown = host.includes(":") ? `[${host}]` : host;
    const credentials = this.#credentials();
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`${shown}:${port}`, credentials, (error, number) => {
        if (error === null) {
          this.#connections.watch(this.#server);
          resolve(number);
        } else
          reject(
            listenFailure(error, host, port) ??
              new ServableError("address_in_use", `${host}:${port} can't be listened on: ${error.message}`, { cause: error }),
          );
      });
    });
    this.#listening = true;
    return `${tls === undefined ? "grpc" : "grpcs"}://${shown}:${bound}`;
  }

  #credentials(): ReturnType<GrpcPackages["grpc"]["ServerCredentials"]["createInsecure"]> {
    const { ServerCredentials } = this.#packages.grpc;
    const { tls } = this.#options;
    if (tls === undefined) return ServerCredentials.createInsecure();
    const { cert, key, clientCa } = readTls(tls);
    return ServerCredentials.createSsl(clientCa ?? null, [{ cert_chain: cert, private_key: key }], clientCa !== undefined);
  }

  /**
   * Takes no more connections, and no more calls on those there are; calls in flight go on, those too of which only the beginning has come. Resolves when
   * they have ended, at the latest after `graceMs`.
   */
  async drain(graceMs: number): Promise<void> {
    this.#drained ??= this.#drain();
    if (!this.#listening) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([this.#drained, late]);
    clearTimeout(timer);
  }

  async #drain(): Promise<void> {
    await turnsTaken(arrivingTurns);
    const ended = new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => {
        resolve();
      });
    });
    this.#drainer.abort();
    await Promise.race([ended, this.#connections.silent()]);
    this.#connections.cut();
  }

  /** Gives calls in flight `graceMs` to end, then cuts all connections. */
  async close(graceMs: number): Promise<void> {
    await this.drain(Math.max(graceMs, flushMs));
    this.#server.forceShutdown();
    this.#connections.cut();
    this.#tokens?.close();
  }

  /** Turns away who has no token. Health is open to everybody: an orchestrator has no token. */
  #askToken(tokens: TokenFile): CallGate {
    const { UNAUTHENTICATED } = this.#packages.grpc.status;
    return (path, metadata) => {
      if (path.startsWith("/grpc.health.v1.Health/")) return undefined;
      const [authorization] = metadata.get("authorization");
      // Nobody past here needs it, and no service is to see it.
      metadata.remove("authorization");
      return tokens.accepts(authorization?.toString()) ? undefined : { code: UNAUTHENTICATED, details: needsToken };
    };
  }

  /** Asks a gate before anything of a message is read. */
  #guard(gate: CallGate): ServerInterceptor {
    const { ServerInterceptingCall } = this.#packages.grpc;
    return (method, call) =>
      new ServerInterceptingCall(call, {
        start(next) {
          next({
            onReceiveMetadata(metadata, pass) {
              const refused = gate(method.path, metadata);
              if (refused === undefined) pass(metadata);
              else call.sendStatus(refused);
            },
          });
        },
      });
  }
}

/** What is not set must not be there. */
function connectionAgeOf({ connectionAge }: ResolvedGrpcListen): Readonly<Record<string, number>> {
  if (connectionAge === undefined) return {};
  const { ageMs, graceMs } = connectionAge;
  return { "grpc.max_connection_age_ms": ageMs, ...(graceMs === undefined ? {} : { "grpc.max_connection_age_grace_ms": graceMs }) };
}

const same = (bytes: Buffer): Buffer => bytes;

const needsToken = textForStatus("This server asks for a token: send the metadata `authorization: Bearer <token>`.");

/** What a unary call gets. */
export type UnaryCall = ServerUnaryCall<Buffer, Buffer>;
/** What a stream gets. */
export type StreamCall = ServerDuplexStream<Buffer, Buffer>;

/** What is left until a call's deadline, in milliseconds; undefined where it has none. */
export function timeoutOfCall(call: Pick<UnaryCall, "getDeadline">): number | undefined {
  const deadline = call.getDeadline();
  const at = deadline instanceof Date ? deadline.getTime() : deadline;
  return Number.isFinite(at) ? Math.max(1, at - Date.now()) : undefined;
}

/** The metadata of a call as a service sees them. */
export function metadataOfCall(call: Pick<UnaryCall, "metadata">): Readonly<Record<string, string>> {
  const read: Record<string, string> = {};
  for (const name of Object.keys(call.metadata.getMap())) {
    if (secrets.has(name) || name.endsWith("-bin")) continue;
    read[name] = call.metadata.get(name).join(", ");
  }
  return read;
}

/** Never shown to a service: what proves who the client is. */
const secrets: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "cookie"]);

/** The failure of a call that came while the server stops. */
export function stopping(): ServableError {
  return new ServableError("not_ready", "The server is shutting down. Try again soon.", { retryAfterMs: 1_000 });
}
