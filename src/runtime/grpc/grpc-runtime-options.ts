import type { ServiceSource } from "../../engine/service-source.ts";
import type { EngineLogger, Observer } from "../../engine/observer.ts";
import type { KeysOf } from "../../known-keys.ts";
import { grpcListenKeys, type GrpcListenOptions } from "./options.ts";

/** Methods of a user's own `.proto` files, each answered by a service. */
export interface ProtoMapping {
  /** The file that defines the methods. */
  readonly file: string;
  /** Folders in which its imports are looked for, besides its own. @default none */
  readonly includeDirs?: readonly string[] | undefined;
  /** The name of the service that answers each method, such as `{ "greet.Greeter/SayHello": "hello" }`. Others are not implemented. */
  readonly methods: Readonly<Record<string, string>>;
}

/** How services are served over gRPC: on port 3001, with messages up to the largest body that one of the services takes. */
export interface GrpcRuntimeOptions extends GrpcListenOptions {
  /** What is served: definitions, classes of services, or LoaderSpecs (which threads need). */
  readonly services: readonly ServiceSource[];
  /** Methods of `.proto` files of your own that services answer; each service can be called by its name, too. @default none */
  readonly protos?: readonly ProtoMapping[] | undefined;
  /** Time for what is in flight when the runtime stops. @default 30000 */
  readonly graceMs?: number | undefined;
  /** @default pino, to standard output */
  readonly log?: EngineLogger | undefined;
  /** See what the engine does, besides the log. */
  readonly observers?: readonly Observer[] | undefined;
}

const protoKeys = { file: "needed", includeDirs: true, methods: "needed" } satisfies KeysOf<ProtoMapping>;

/** The keys of {@link GrpcRuntimeOptions}. */
export const grpcRuntimeKeys: KeysOf<GrpcRuntimeOptions> = {
  ...grpcListenKeys,
  services: "needed",
  protos: [protoKeys],
  graceMs: true,
  log: true,
  observers: true,
};
