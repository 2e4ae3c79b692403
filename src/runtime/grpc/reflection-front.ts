import type {
  MethodDefinition,
  handleBidiStreamingCall,
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { ServableError } from "../../errors.ts";
import { descriptors } from "../../protocol/grpc/generated/descriptors.ts";
import { hasReflection, loadReflection } from "../../protocol/grpc/packages.ts";
import type { GrpcHost, StreamCall } from "./host.ts";

/** What reflection tells. */
export interface ReflectionOptions {
  /** Full names of the services that are served. */
  readonly services: readonly string[];
  /** Files of a user's own, each a FileDescriptorProto. */
  readonly files?: readonly Uint8Array[] | undefined;
  /** Whether to; undefined for where the package is installed. */
  readonly wanted: boolean | undefined;
}

/** How the package answers one version of reflection. */
interface Implementation {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly handle: handleBidiStreamingCall<unknown, unknown>;
}

const versions = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
const methodName = "ServerReflectionInfo";
/** gRPC's INTERNAL. */
const internal = 13;

/**
 * Server reflection, v1 and v1alpha: what grpcurl and the like ask. The package that answers takes more memory than a small model, and is loaded when
 * somebody asks.
 *
 * @throws ServableError `missing_dependency`
 */
export function reflectionFront(host: GrpcHost, options: ReflectionOptions): void {
  if (options.wanted === false) return;
  if (!hasReflection()) {
    if (options.wanted === undefined) return;
    throw new ServableError(
      "missing_dependency",
      "Reflection needs the package @grpc/reflection, which is not installed: npm install @grpc/reflection",
    );
  }
  let loaded: Promise<ReadonlyMap<string, Implementation>> | undefined;
  const load = (): Promise<ReadonlyMap<string, Implementation>> => (loaded ??= loadImplementations(options));
  for (const service of versions) {
    const path = `/${service}/${methodName}`;
    host.add(service, { [methodName]: { kind: "stream", handle: (call) => void reflect(call, path, load) } });
  }
}

/** Never rejects. */
async function reflect(call: StreamCall, path: string, load: () => Promise<ReadonlyMap<string, Implementation>>): Promise<void> {
  // What a broken connection does to the stream; without a listener it would end the process.
  call.on("error", () => undefined);
  try {
    const implementation = (await load()).get(path);
    if (implementation === undefined) throw new Error(`the package @grpc/reflection does not answer ${path}`);
    implementation.handle(translated(call, implementation.method));
  } catch {
    fail(call, "Reflection could not be loaded.");
  }
}

/** The stream of messages that a stream of bytes is, as far as the package uses one: messages come when it listens for them. */
function translated(call: StreamCall, method: Implementation["method"]): ServerDuplexStream<unknown, unknown> {
  const stream = {
    on(event: string, listener: (message?: unknown) => void) {
      call.on(event, event === "data" ? (bytes: Buffer) => read(bytes, listener) : listener);
      return stream;
    },
    write: (message: unknown) => call.write(method.responseSerialize(message)),
    end: () => call.end(),
  };
  const read = (bytes: Buffer, listener: (message: unknown) => void): void => {
    let message: unknown;
    try {
      message = method.requestDeserialize(bytes);
    } catch {
      fail(call, "The request is not a valid message of type 'ServerReflectionRequest'.");
      return;
    }
    listener(message);
  };
  return stream as unknown as ServerDuplexStream<unknown, unknown>;
}

function fail(call: StreamCall, details: string): void {
  call.emit("error", { code: internal, details });
}

async function loadImplementations({ services, files = [] }: ReflectionOptions): Promise<ReadonlyMap<string, Implementation>> {
  const reflection = await loadReflection();
  const fileDescriptorProtos = [...descriptors.map((text) => Buffer.from(text, "base64")), ...files.map((file) => Buffer.from(file))];
  const ours = { files: { format: "Protocol Buffer 3 DescriptorProto" as const, type: {}, fileDescriptorProtos } };
  const found = new Map<string, Implementation>();
  new reflection.ReflectionService(ours, { services: [...services] }).addToServer({
    addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation) {
      const method = definition[methodName];
      const handle = implementation[methodName];
      if (method !== undefined && handle !== undefined) found.set(method.path, { method, handle: handle as Implementation["handle"] });
    },
  });
  return found;
}
