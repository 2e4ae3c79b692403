import { existsSync } from "node:fs";
import path from "node:path";
import type { Method, Root, Type } from "protobufjs";
import { ServableError, messageOf } from "../../errors.ts";
import { readInt64 } from "../../protocol/grpc/int64.ts";
import { loadProtobuf } from "../../protocol/grpc/packages.ts";
import type { ProtoMapping } from "./grpc-runtime-options.ts";

/** A method of a user's own, and the service that answers it. */
export interface MappedMethod {
  /** The full name of the gRPC service, such as `greet.Greeter`. */
  readonly grpcService: string;
  readonly method: string;
  readonly service: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** The message as JSON text, with every field that is not set at its default. */
  readJson(bytes: Uint8Array): string;
  /** JSON text as a message. @throws where it does not fit the message's type */
  writeJson(text: string): Uint8Array;
}

/** Methods, and what reflection tells of their files. */
export interface LoadedProto {
  readonly methods: readonly MappedMethod[];
  readonly files: readonly Uint8Array[];
}

/** Reads a `.proto` file and finds its methods. @throws ServableError `invalid_config` or `missing_dependency` */
export async function loadProto(mapping: ProtoMapping): Promise<LoadedProto> {
  const { file, includeDirs = [] } = mapping;
  const { protobuf, protojson, descriptor } = await loadProtobuf();
  const root = new protobuf.Root();
  const usual = root.resolvePath.bind(root);
  root.resolvePath = (origin, target) => {
    // google/protobuf/*.proto comes with protobufjs.
    const bundled = protobuf.util.path.normalize(target);
    if (bundled in protobuf.common) return usual(origin, target);
    const folders = origin === "" ? [""] : [path.dirname(origin), ...includeDirs];
    const found = folders.map((folder) => path.resolve(folder, target)).find((candidate) => existsSync(candidate));
    return found ?? usual(origin, target);
  };
  try {
    await root.load(path.resolve(file), { keepCase: false });
    root.resolveAll();
  } catch (thrown) {
    throw new ServableError("invalid_config", `The proto file ${file} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
  const methods = Object.entries(mapping.methods).map(([name, service]) => findMethod(root, file, name, service, protojson.fromJson));
  const set = root.toDescriptor("proto3");
  return { methods, files: set.file.map((one) => descriptor.FileDescriptorProto.encode(one).finish()) };
}

type FromJson = (type: Type, json: unknown) => object;

function findMethod(root: Root, file: string, name: string, service: string, fromJson: FromJson): MappedMethod {
  const [grpcService = "", method = "", ...rest] = name.split("/");
  const found = rest.length > 0 || method === "" ? undefined : lookUp(root, grpcService, method);
  const { resolvedRequestType: request, resolvedResponseType: response } = found ?? {};
  if (found === undefined || !request || !response) {
    throw new ServableError(
      "invalid_config",
      `The proto file ${file} has no method '${name}'; methods are written package.Service/Method.`,
    );
  }
  return {
    grpcService,
    method,
    service,
    requestStream: found.requestStream === true,
    responseStream: found.responseStream === true,
    readJson: (bytes) => JSON.stringify(request.toObject(request.decode(bytes), reading), plainNumbers),
    writeJson: (text) => response.encode(fromJson(response, JSON.parse(text))).finish(),
  };
}

function lookUp(root: Root, service: string, method: string): Method | undefined {
  try {
    return root.lookupService(service).methods[method];
  } catch {
    return undefined;
  }
}

const reading = { enums: String, bytes: String, defaults: true, arrays: true, objects: true } as const;

/** 64-bit integers are numbers as far as these are exact, else texts. */
function plainNumbers(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("low" in value) || !("high" in value) || !("unsigned" in value)) return value;
  if (typeof value.low !== "number" || typeof value.high !== "number" || typeof value.unsigned !== "boolean") return value;
  const read = readInt64({ low: value.low, high: value.high, unsigned: value.unsigned });
  return typeof read === "bigint" ? String(read) : read;
}
