import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { loadGrpcPackages } from "../../protocol/grpc/packages.ts";
import type { Logger } from "../../service/service.ts";
import type { ModelPlane } from "../model-plane.ts";
import { restrictedKeys, type RestrictedApi } from "../http/open-inference/restrictions.ts";
import { grpcHealthFront } from "./health-front.ts";
import { GrpcHost } from "./host.ts";
import { openInferenceFront } from "./open-inference-front.ts";
import { grpcListenKeys, largestMessageBytes, resolveGrpcListen, type GrpcListenOptions, type ResolvedGrpcListen } from "./options.ts";
import { reflectionFront } from "./reflection-front.ts";
import { restrictMethods } from "./restricted-methods.ts";

/** How a model server is reached over gRPC. By default on port 8001, with messages up to 2 GiB - 1, as Triton is. */
export interface ModelGrpcServerOptions extends GrpcListenOptions {
  /** The model server. */
  readonly plane: ModelPlane;
  readonly log: Logger;
  /** Methods that only those may call who send `triton-grpc-protocol-<header>` with the value. @default none */
  readonly restricted?: readonly RestrictedApi[] | undefined;
  /** Metadata whose names it matches become parameters of the request, as text. @default none */
  readonly headerForwardPattern?: RegExp | undefined;
}

const keys = {
  ...grpcListenKeys,
  plane: "needed",
  log: "needed",
  restricted: [restrictedKeys],
  headerForwardPattern: true,
} satisfies KeysOf<ModelGrpcServerOptions>;

/** The gRPC side of a model server: the Open Inference Protocol, health and reflection. It starts and stops no model. */
export class ModelGrpcServer {
  readonly #plane: ModelPlane;
  readonly #log: Logger;
  readonly #options: ResolvedGrpcListen;
  readonly #restricted: readonly RestrictedApi[];
  readonly #headerForwardPattern: RegExp | undefined;
  #host: GrpcHost | undefined;
  #url: string | undefined;

  /** @throws ServableError `invalid_config` */
  constructor(options: ModelGrpcServerOptions) {
    refuseUnknownKeys(options, keys, "ModelGrpcServer");
    this.#plane = options.plane;
    this.#log = options.log;
    this.#restricted = options.restricted ?? [];
    this.#headerForwardPattern = options.headerForwardPattern;
    this.#options = resolveGrpcListen(options, { port: 8001, maxMessageBytes: largestMessageBytes });
  }

  /** Where it listens, such as `grpc://127.0.0.1:8001`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    if (this.#url === undefined) throw new ServableError("not_ready", "The server does not listen yet: await start() first.");
    return this.#url;
  }

  /** Listens. @throws ServableError `missing_dependency`, `invalid_config`, `address_in_use` */
  async start(): Promise<void> {
    const packages = await loadGrpcPackages();
    const gate = restrictMethods(this.#restricted, packages.grpc.status.UNAVAILABLE);
    const host = new GrpcHost(packages, this.#options, this.#log, gate);
    this.#host = host;
    try {
      const { messages } = packages;
      openInferenceFront({ host, messages, plane: this.#plane, headerForwardPattern: this.#headerForwardPattern });
      grpcHealthFront(host, messages, () => this.#plane.ready());
      reflectionFront(host, {
        services: ["inference.GRPCInferenceService", "grpc.health.v1.Health"],
        wanted: this.#options.reflection,
      });
      this.#url = await host.listen();
    } catch (thrown) {
      await host.close(0);
      throw thrown;
    }
  }

  /** Takes no more calls. Resolves when those in flight have ended, at the latest after `graceMs`. The plane stops after it. */
  async drain(graceMs: number): Promise<void> {
    await this.#host?.drain(graceMs);
  }

  /** Gives calls in flight the grace time to end, then cuts all connections. */
  async stop(graceMs = 30_000): Promise<void> {
    await this.#host?.close(graceMs);
  }
}
