import { createRequire } from "node:module";
import { messageOf, ServableError } from "../../errors.ts";

/** The module `@grpc/grpc-js`. */
export type GrpcJs = typeof import("@grpc/grpc-js");

/** The generated messages, which need protobufjs. */
export type Messages = typeof import("./generated/messages.js");

/** What everything that speaks gRPC is made of. */
export interface GrpcPackages {
  readonly grpc: GrpcJs;
  readonly messages: Messages;
}

let loading: Promise<GrpcPackages> | undefined;

/**
 * Imports the optional peer dependencies that gRPC needs, `@grpc/grpc-js` and `protobufjs`, when the first server or client is made
 * and not before.
 *
 * @throws ServableError `missing_dependency` when one is not installed
 */
export function loadGrpcPackages(): Promise<GrpcPackages> {
  loading ??= importPackages();
  return loading;
}

async function importPackages(): Promise<GrpcPackages> {
  const [grpc, messages] = await Promise.all([
    needing("@grpc/grpc-js", () => import("@grpc/grpc-js")),
    needing("protobufjs", () => import("./generated/messages.js")),
  ]);
  const module = wholeOf(grpc);
  // Its own log goes to standard error, past every logger; what fails is told as well. A user's choice is left alone.
  if (process.env.GRPC_VERBOSITY === undefined && process.env.GRPC_NODE_VERBOSITY === undefined) {
    module.setLogVerbosity(module.logVerbosity.NONE);
  }
  return { grpc: module, messages };
}

/** What reads `.proto` files of a user's own. */
export interface ProtobufPackages {
  readonly protobuf: typeof import("protobufjs");
  /** JSON to messages, as protobuf's own mapping says. */
  readonly protojson: typeof import("protobufjs/ext/protojson.js");
  /** What reflection tells of files. */
  readonly descriptor: typeof import("protobufjs/ext/descriptor.js");
}

/** Imports protobufjs with its parser. @throws ServableError `missing_dependency` */
export async function loadProtobuf(): Promise<ProtobufPackages> {
  const [protobuf, protojson, descriptor] = await needing("protobufjs", () =>
    Promise.all([import("protobufjs"), import("protobufjs/ext/protojson.js"), import("protobufjs/ext/descriptor.js")]),
  );
  return { protobuf: protobuf.default, protojson: protojson.default, descriptor: descriptor.default };
}

/** Whether `@grpc/reflection` is installed. It is not loaded for that. */
export function hasReflection(): boolean {
  try {
    createRequire(import.meta.url).resolve("@grpc/reflection");
    return true;
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
}

/** Imports `@grpc/reflection`. */
export async function loadReflection(): Promise<typeof import("@grpc/reflection")> {
  return wholeOf(await import("@grpc/reflection"));
}

/** What a CommonJS package exports. Loaders such as tsx give none of it as `default` where it says that it was an ES module once. */
function wholeOf<T extends object>(imported: T & { readonly default?: T }): T {
  return imported.default ?? imported;
}

async function needing<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (thrown) {
    const text = isMissing(thrown)
      ? "gRPC needs the packages @grpc/grpc-js and protobufjs, and one of them is not installed: npm install @grpc/grpc-js protobufjs"
      : `${name} is installed but does not load: ${messageOf(thrown)}`;
    throw new ServableError("missing_dependency", text, { cause: thrown });
  }
}

function isMissing(thrown: unknown): boolean {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
}
