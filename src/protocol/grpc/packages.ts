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
  return { grpc: grpc.default as GrpcJs, messages };
}

/** Imports protobufjs with its parser, for `.proto` files of a user's own. @throws ServableError `missing_dependency` */
export async function loadProtobuf(): Promise<typeof import("protobufjs")> {
  return (await needing("protobufjs", () => import("protobufjs"))).default;
}

/** Imports `@grpc/reflection`; undefined where it is not installed. */
export async function loadReflection(): Promise<typeof import("@grpc/reflection") | undefined> {
  try {
    return (await import("@grpc/reflection")).default;
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
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
