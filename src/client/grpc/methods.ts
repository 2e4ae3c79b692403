import type { inference } from "../../protocol/grpc/generated/messages.js";
import { gathering } from "../../protocol/grpc/gathered-message.ts";
import type { Messages } from "../../protocol/grpc/packages.ts";
import type { MessageType, UnaryMethod } from "./connection.ts";

type Types = Messages["inference"];

/** Each method that the client calls; those that only read may be sent again. */
export const methods: {
  readonly ServerLive: UnaryMethod<inference.ServerLiveRequest.$Properties, inference.ServerLiveResponse>;
  readonly ServerReady: UnaryMethod<inference.ServerReadyRequest.$Properties, inference.ServerReadyResponse>;
  readonly ModelReady: UnaryMethod<inference.ModelReadyRequest.$Properties, inference.ModelReadyResponse>;
  readonly ServerMetadata: UnaryMethod<inference.ServerMetadataRequest.$Properties, inference.ServerMetadataResponse>;
  readonly ModelMetadata: UnaryMethod<inference.ModelMetadataRequest.$Properties, inference.ModelMetadataResponse>;
  readonly ModelInfer: UnaryMethod<inference.ModelInferRequest.$Properties, inference.ModelInferResponse>;
  /** The same, with large tensors copied once on their way out: where calls are not compressed. */
  readonly ModelInferGathered: UnaryMethod<inference.ModelInferRequest.$Properties, inference.ModelInferResponse>;
  readonly ModelConfig: UnaryMethod<inference.ModelConfigRequest.$Properties, inference.ModelConfigResponse>;
  readonly ModelStatistics: UnaryMethod<inference.ModelStatisticsRequest.$Properties, inference.ModelStatisticsResponse>;
  readonly RepositoryIndex: UnaryMethod<inference.RepositoryIndexRequest.$Properties, inference.RepositoryIndexResponse>;
  readonly RepositoryModelLoad: UnaryMethod<inference.RepositoryModelLoadRequest.$Properties, inference.RepositoryModelLoadResponse>;
  readonly RepositoryModelUnload: UnaryMethod<inference.RepositoryModelUnloadRequest.$Properties, inference.RepositoryModelUnloadResponse>;
} = {
  ServerLive: reading(
    "ServerLive",
    (types) => types.ServerLiveRequest,
    (types) => types.ServerLiveResponse,
  ),
  ServerReady: reading(
    "ServerReady",
    (types) => types.ServerReadyRequest,
    (types) => types.ServerReadyResponse,
  ),
  ModelReady: reading(
    "ModelReady",
    (types) => types.ModelReadyRequest,
    (types) => types.ModelReadyResponse,
  ),
  ServerMetadata: reading(
    "ServerMetadata",
    (types) => types.ServerMetadataRequest,
    (types) => types.ServerMetadataResponse,
  ),
  ModelMetadata: reading(
    "ModelMetadata",
    (types) => types.ModelMetadataRequest,
    (types) => types.ModelMetadataResponse,
  ),
  ModelInfer: changing(
    "ModelInfer",
    (types) => types.ModelInferRequest,
    (types) => types.ModelInferResponse,
  ),
  ModelInferGathered: changing(
    "ModelInfer",
    (types) => gathering(types.ModelInferRequest, { key: "rawInputContents", number: 7 }),
    (types) => types.ModelInferResponse,
  ),
  ModelConfig: reading(
    "ModelConfig",
    (types) => types.ModelConfigRequest,
    (types) => types.ModelConfigResponse,
  ),
  ModelStatistics: reading(
    "ModelStatistics",
    (types) => types.ModelStatisticsRequest,
    (types) => types.ModelStatisticsResponse,
  ),
  RepositoryIndex: reading(
    "RepositoryIndex",
    (types) => types.RepositoryIndexRequest,
    (types) => types.RepositoryIndexResponse,
  ),
  RepositoryModelLoad: changing(
    "RepositoryModelLoad",
    (types) => types.RepositoryModelLoadRequest,
    (types) => types.RepositoryModelLoadResponse,
  ),
  RepositoryModelUnload: changing(
    "RepositoryModelUnload",
    (types) => types.RepositoryModelUnloadRequest,
    (types) => types.RepositoryModelUnloadResponse,
  ),
};

type Pick<T> = (types: Types) => T;

function changing<Q, R>(name: string, request: Pick<MessageType<unknown, Q>>, response: Pick<MessageType<R, never>>): UnaryMethod<Q, R> {
  return { name, request: ({ inference: types }) => request(types), response: ({ inference: types }) => response(types) };
}

function reading<Q, R>(name: string, request: Pick<MessageType<unknown, Q>>, response: Pick<MessageType<R, never>>): UnaryMethod<Q, R> {
  return { ...changing(name, request, response), idempotent: true };
}
