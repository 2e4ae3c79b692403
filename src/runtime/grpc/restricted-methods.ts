import type { status } from "@grpc/grpc-js";
import type { RestrictedApi } from "../http/open-inference/restrictions.ts";
import { isSameSecret } from "../http/open-inference/restrictions.ts";
import type { ApiName } from "../http/open-inference/routes.ts";
import type { CallGate } from "./host.ts";

/** The methods of each group that `--grpc-restricted-protocol` restricts, as Triton groups them. */
const methods: Readonly<Record<ApiName, readonly string[]>> = {
  health: ["ServerLive", "ServerReady", "ModelReady"],
  metadata: ["ServerMetadata", "ModelMetadata"],
  inference: ["ModelInfer", "ModelStreamInfer"],
  "shared-memory": [
    ...["SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"],
    ...["CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"],
  ],
  "model-config": ["ModelConfig"],
  "model-repository": ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"],
  statistics: ["ModelStatistics"],
  trace: ["TraceSetting"],
  logging: ["LogSettings"],
};

const service = "/inference.GRPCInferenceService/";
const healthCheck = "/grpc.health.v1.Health/Check";
/** Before the name that the flag gives. */
const keyPrefix = "triton-grpc-protocol-";

/** Turns calls of restricted methods away that lack their key; undefined where nothing is restricted. */
export function restrictMethods(restricted: readonly RestrictedApi[], unavailable: status): CallGate | undefined {
  if (restricted.length === 0) return undefined;
  const asked = new Map<string, { readonly key: string; readonly value: string }>();
  for (const { apis, header, value } of restricted) {
    const wanted = { key: keyPrefix + header, value };
    for (const api of apis) {
      for (const method of methods[api]) asked.set(service + method, wanted);
      if (api === "health") asked.set(healthCheck, wanted);
    }
  }
  return (path, metadata) => {
    const wanted = asked.get(path);
    if (wanted === undefined || isSameSecret(metadata.get(wanted.key)[0]?.toString(), wanted.value)) return undefined;
    return { code: unavailable, details: `This protocol is restricted, expecting header '${wanted.key}'` };
  };
}
