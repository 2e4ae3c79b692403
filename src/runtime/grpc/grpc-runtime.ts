import { Engine, type EngineStatus } from "../../engine/engine.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys } from "../../known-keys.ts";
import { loadGrpcPackages } from "../../protocol/grpc/packages.ts";
import { loggerOf, requestLog } from "../../telemetry/logs.ts";
import type { Runtime } from "../runtime.ts";
import { grpcRuntimeKeys, type GrpcRuntimeOptions } from "./grpc-runtime-options.ts";
import { grpcHealthFront } from "./health-front.ts";
import { GrpcHost } from "./host.ts";
import { largestMessageBytes, resolveGrpcListen } from "./options.ts";
import { protoFront } from "./proto-front.ts";
import { reflectionFront } from "./reflection-front.ts";
import { servicesFront, servicesName } from "./services-front.ts";
import { loadProto } from "./user-proto.ts";

const defaultPort = 3_001;
/** What a message holds besides the body. */
const messageHeadBytes = 64 * 1024;

/**
 * Serves services over gRPC: each by its name (`servable.v1.Services`), and as the methods of `.proto` files of your own; with health and
 * reflection. It needs the packages `@grpc/grpc-js` and `protobufjs`.
 *
 * @example
 * ```ts
 * import { defineService } from "servable";
 * import { GrpcRuntime } from "servable/grpc";
 *
 * const hello = defineService({ name: "hello", call: () => "hello" });
 * const runtime = new GrpcRuntime({ services: [hello], port: 0 });
 * await runtime.start();
 * await runtime.stop();
 * ```
 */
export class GrpcRuntime implements Runtime {
  readonly stopped: Promise<void>;
  readonly #options: GrpcRuntimeOptions;
  readonly #graceMs: number;
  #engine: Engine | undefined;
  #host: GrpcHost | undefined;
  #started = false;
  #url: string | undefined;
  #stopping: Promise<void> | undefined;
  #markStopped: () => void = () => undefined;

  /** @throws ServableError `invalid_config` */
  constructor(options: GrpcRuntimeOptions) {
    refuseUnknownKeys(options, grpcRuntimeKeys, "GrpcRuntime");
    this.#options = options;
    this.#graceMs = options.graceMs ?? 30_000;
    if (!Number.isFinite(this.#graceMs) || this.#graceMs < 0) {
      throw new ServableError("invalid_config", `The grace time must be 0 ms or more, not ${this.#graceMs}.`);
    }
    resolveGrpcListen(options, { port: defaultPort, maxMessageBytes: largestMessageBytes });
    this.stopped = new Promise((resolve) => {
      this.#markStopped = resolve;
    });
  }

  /** Where it listens, such as `grpc://127.0.0.1:3001`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    if (this.#url === undefined) throw new ServableError("not_ready", "The runtime does not listen yet: await start() first.");
    return this.#url;
  }

  /** How the engine and its services are; undefined before `start`. */
  get status(): EngineStatus | undefined {
    return this.#engine?.status();
  }

  /**
   * Listens, then sets every service up; resolves when all are ready. Health answers from the moment it listens.
   *
   * @throws ServableError `missing_dependency`, `load_failed`, `invalid_config`, `address_in_use`
   */
  async start(): Promise<void> {
    this.#goOnUnlessStopped();
    if (this.#started) throw new ServableError("invalid_argument", "A runtime is started once.");
    this.#started = true;
    const log = await loggerOf(this.#options.log);
    this.#goOnUnlessStopped();
    const engine = new Engine({
      services: this.#options.services,
      log,
      observers: [requestLog(log), ...(this.#options.observers ?? [])],
    });
    this.#engine = engine;
    try {
      await engine.load();
      this.#host = await this.#build(engine, log);
      this.#goOnUnlessStopped();
      this.#url = await this.#host.listen();
      await engine.start();
    } catch (thrown) {
      const stopped = this.#isStopping;
      await this.stop();
      await this.#host?.close(0);
      throw stopped ? stoppedEarly() : thrown;
    }
  }

  get #isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** `stop` may come between any two steps of `start`. */
  #goOnUnlessStopped(): void {
    if (this.#isStopping) throw stoppedEarly();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const until = performance.now() + this.#graceMs;
    const leftMs = (): number => Math.max(0, until - performance.now());
    // A call is admitted when its message is there, so the engine takes requests until those that have begun to come are in hand.
    await this.#host?.drain(this.#graceMs);
    await this.#engine?.stop(leftMs());
    await this.#host?.close(leftMs());
    this.#markStopped();
  }

  async #build(engine: Engine, log: EngineLogger): Promise<GrpcHost> {
    const packages = await loadGrpcPackages();
    const { grpc, messages } = packages;
    const largest = Math.max(...[...engine.definitions.keys()].map((name) => engine.policy(name).maxBodyBytes));
    const listen = resolveGrpcListen(this.#options, {
      port: defaultPort,
      maxMessageBytes: Math.min(largest + messageHeadBytes, largestMessageBytes),
    });
    const loaded = await Promise.all((this.#options.protos ?? []).map(loadProto));
    const methods = loaded.flatMap((proto) => proto.methods);
    const host = new GrpcHost(packages, listen, log);
    servicesFront({ engine, grpc, host }, packages);
    protoFront({ engine, grpc, host }, methods);
    grpcHealthFront(host, messages, () => !host.draining.aborted && engine.status().ready);
    reflectionFront(host, {
      services: [servicesName, "grpc.health.v1.Health", ...new Set(methods.map(({ grpcService }) => grpcService))],
      files: loaded.flatMap((proto) => proto.files),
      wanted: listen.reflection,
    });
    return host;
  }
}

function stoppedEarly(): ServableError {
  return new ServableError("cancelled", "The runtime was stopped before it was ready.");
}
