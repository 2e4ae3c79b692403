import { descriptors } from "../../protocol/grpc/generated/descriptors.ts";
import { loadReflection } from "../../protocol/grpc/packages.ts";
import { ServableError } from "../../errors.ts";
import type { GrpcHost } from "./host.ts";

/** What reflection tells. */
export interface ReflectionOptions {
  /** Full names of the services that are served. */
  readonly services: readonly string[];
  /** Files of a user's own, each a FileDescriptorProto. */
  readonly files?: readonly Uint8Array[] | undefined;
  /** Whether to; undefined for where the package is installed. */
  readonly wanted: boolean | undefined;
}

/** Server reflection, v1 and v1alpha: what grpcurl and the like ask. @throws ServableError `missing_dependency` */
export async function reflectionFront(host: GrpcHost, { services, files = [], wanted }: ReflectionOptions): Promise<void> {
  if (wanted === false) return;
  const reflection = await loadReflection();
  if (reflection === undefined) {
    if (wanted === undefined) return;
    throw new ServableError(
      "missing_dependency",
      "Reflection needs the package @grpc/reflection, which is not installed: npm install @grpc/reflection",
    );
  }
  const fileDescriptorProtos = [...descriptors.map((text) => Buffer.from(text, "base64")), ...files.map((file) => Buffer.from(file))];
  const ours = { files: { format: "Protocol Buffer 3 DescriptorProto" as const, type: {}, fileDescriptorProtos } };
  new reflection.ReflectionService(ours, { services: [...services] }).addToServer(host.server);
}
