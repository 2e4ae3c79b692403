export { GrpcInferenceClient, type StreamedRequest, type StreamedResult } from "./client/grpc/grpc-inference-client.ts";
export type { GrpcClientOptions } from "./client/grpc/options.ts";
export { GrpcRuntime } from "./runtime/grpc/grpc-runtime.ts";
export type { GrpcRuntimeOptions, ProtoMapping } from "./runtime/grpc/grpc-runtime-options.ts";
export { ModelGrpcServer, type ModelGrpcServerOptions } from "./runtime/grpc/model-grpc-server.ts";
export type { GrpcListenOptions, ResponseCompression } from "./runtime/grpc/options.ts";
export { grpcCode } from "./runtime/grpc/status.ts";
export type { MutualTlsFiles, TlsFiles } from "./runtime/address.ts";
