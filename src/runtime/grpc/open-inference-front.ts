import { gathering } from "../../protocol/grpc/gathered-message.ts";
import { sharedMemoryDisabled } from "../../protocol/grpc/shared-memory.ts";
import { writeInferResponse } from "../../protocol/grpc/infer-response.ts";
import { writeIndex, writeModelMetadata, writeServerMetadata, writeStatistics } from "../../protocol/grpc/model-info.ts";
import { writeModelConfig } from "../../protocol/grpc/model-config.ts";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import type { Messages } from "../../protocol/grpc/packages.ts";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { InferResponse } from "../../protocol/inference.ts";
import type { ModelPlane } from "../model-plane.ts";
import type { MessageType } from "./codec.ts";
import { inferenceFailure } from "./failure.ts";
import { metadataOfCall, timeoutOfCall, type GrpcHost, type HostedMethod, type UnaryCall } from "./host.ts";
import { readLoadParameters, readUnloadParameters } from "./load-parameters.ts";
import { readLogChanges, readTraceChanges, writeLogSettings, writeTraceSettings } from "./settings.ts";
import { streamInfer } from "./stream-infer.ts";
import { forwardedMetadata, readAdmitted } from "./read-admitted.ts";
import { unary } from "./unary.ts";

/** What the front of the Open Inference Protocol is made of. */
export interface OpenInferenceFrontOptions {
  readonly host: GrpcHost;
  readonly messages: Messages;
  readonly plane: ModelPlane;
  /** Metadata whose names it matches become parameters of the request. */
  readonly headerForwardPattern?: RegExp | undefined;
}

/** The service `inference.GRPCInferenceService`, over a model server. */
export function openInferenceFront({ host, messages, plane, headerForwardPattern }: OpenInferenceFrontOptions): void {
  const { inference: types } = messages;
  const inferResponse = host.compression.isOn
    ? types.ModelInferResponse
    : gathering(types.ModelInferResponse, { key: "rawOutputContents", number: 6 });
  const method = <Q, R>(
    request: MessageType<Q, never>,
    response: MessageType<unknown, R>,
    answer: (message: Q, call: UnaryCall) => R | Promise<R>,
  ): HostedMethod => unary({ host, request, response, answer, failure: inferenceFailure });
  // Memory is never shared with clients here, which is what these say, as a Triton does that was not told otherwise.
  const refuse = (): never => {
    throw sharedMemoryDisabled();
  };
  host.add("inference.GRPCInferenceService", {
    ServerLive: method(types.ServerLiveRequest, types.ServerLiveResponse, () => ({ live: plane.live() })),
    ServerReady: method(types.ServerReadyRequest, types.ServerReadyResponse, () => ({ ready: plane.ready() })),
    ModelReady: method(types.ModelReadyRequest, types.ModelReadyResponse, ({ name, version }) => ({
      ready: plane.modelReady(name, version),
    })),
    ServerMetadata: method(types.ServerMetadataRequest, types.ServerMetadataResponse, () => writeServerMetadata(plane.serverMetadata)),
    ModelMetadata: method(types.ModelMetadataRequest, types.ModelMetadataResponse, ({ name, version }) =>
      writeModelMetadata(plane.modelMetadata(name, version)),
    ),
    ModelInfer: method(types.ModelInferRequest, inferResponse, async (message, call) =>
      writeInferResponse(await infer(plane, message, call, headerForwardPattern)),
    ),
    ModelStreamInfer: { kind: "stream", handle: streamInfer({ host, messages, plane, headerForwardPattern }) },
    ModelConfig: method(types.ModelConfigRequest, types.ModelConfigResponse, ({ name, version }) => ({
      config: writeModelConfig(plane.model(name, version).config, messages),
    })),
    ModelStatistics: method(types.ModelStatisticsRequest, types.ModelStatisticsResponse, ({ name, version }) =>
      writeStatistics(plane.statistics(name, version)),
    ),
    RepositoryIndex: method(types.RepositoryIndexRequest, types.RepositoryIndexResponse, async ({ repositoryName, ready }) =>
      writeIndex(await plane.index(repositoryName, ready)),
    ),
    RepositoryModelLoad: method(types.RepositoryModelLoadRequest, types.RepositoryModelLoadResponse, async (message) => {
      await plane.load(message.repositoryName, message.modelName, readLoadParameters(message.parameters));
      return {};
    }),
    RepositoryModelUnload: method(types.RepositoryModelUnloadRequest, types.RepositoryModelUnloadResponse, async (message) => {
      await plane.unload(message.repositoryName, message.modelName, readUnloadParameters(message.parameters));
      return {};
    }),
    SystemSharedMemoryStatus: method(types.SystemSharedMemoryStatusRequest, types.SystemSharedMemoryStatusResponse, refuse),
    SystemSharedMemoryRegister: method(types.SystemSharedMemoryRegisterRequest, types.SystemSharedMemoryRegisterResponse, refuse),
    SystemSharedMemoryUnregister: method(types.SystemSharedMemoryUnregisterRequest, types.SystemSharedMemoryUnregisterResponse, refuse),
    CudaSharedMemoryStatus: method(types.CudaSharedMemoryStatusRequest, types.CudaSharedMemoryStatusResponse, refuse),
    CudaSharedMemoryRegister: method(types.CudaSharedMemoryRegisterRequest, types.CudaSharedMemoryRegisterResponse, refuse),
    CudaSharedMemoryUnregister: method(types.CudaSharedMemoryUnregisterRequest, types.CudaSharedMemoryUnregisterResponse, refuse),
    TraceSetting: method(types.TraceSettingRequest, types.TraceSettingResponse, ({ modelName, settings }) =>
      writeTraceSettings(plane.traceSettings(modelName, readTraceChanges(settings))),
    ),
    LogSettings: method(types.LogSettingsRequest, types.LogSettingsResponse, ({ settings }) =>
      writeLogSettings(plane.logSettings(readLogChanges(settings))),
    ),
  });
}

async function infer(
  plane: ModelPlane,
  message: inference.ModelInferRequest,
  call: UnaryCall,
  headerForwardPattern: RegExp | undefined,
): Promise<InferResponse> {
  const model = plane.model(message.modelName, message.modelVersion);
  if (model.config.modelTransactionPolicy?.decoupled === true) {
    throw new InferenceError("UNSUPPORTED", "ModelInfer RPC doesn't support models with decoupled transaction policy");
  }
  const admission = model.admit({ timeoutMs: timeoutOfCall(call), metadata: () => metadataOfCall(call) });
  const cancel = (): void => admission.cancel();
  call.once("cancelled", cancel);
  try {
    // One that left before would not be heard of any more.
    if (call.cancelled) cancel();
    return await admission.infer(readAdmitted(admission, message, forwardedMetadata(call, headerForwardPattern)));
  } finally {
    // grpc-js says so at the end of every call.
    call.off("cancelled", cancel);
  }
}
