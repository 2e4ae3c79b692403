export {
  ServableError,
  errorCodes,
  formatPath,
  type ErrorCode,
  type FieldIssue,
  type JsonValue,
  type ServableErrorOptions,
} from "./errors.ts";
export {
  Service,
  type CallResult,
  type Logger,
  type LogMethod,
  type MaybePromise,
  type ServiceContext,
  type SetupContext,
} from "./service/service.ts";
export { defineService, definitionOf, type DefineServiceOptions } from "./service/define-service.ts";
export type {
  AnyServiceDefinition,
  BatchPolicy,
  ClientTypes,
  Placement,
  ServiceDefinition,
  ServiceInfo,
  ServicePolicy,
} from "./service/definition.ts";
export { streamOf, type JsonSchema, type Schema, type StreamSchema } from "./service/schema.ts";
export type { HandlerContext, Payload, RequestHandler, ResponseHandler } from "./service/handlers/handler.ts";
export { JsonHandler, type JsonHandlerOptions } from "./service/handlers/json-handler.ts";
export { MessagePackHandler, type MessagePackHandlerOptions } from "./service/handlers/message-pack-handler.ts";
export { BytesHandler, type BytesHandlerOptions } from "./service/handlers/bytes-handler.ts";
export { TextHandler, type TextHandlerOptions } from "./service/handlers/text-handler.ts";
export { ImageHandler, type ImageHandlerOptions } from "./service/handlers/image-handler.ts";
export type { DecodedImage } from "./service/handlers/image-codec.ts";
export {
  MultipartHandler,
  requireFile,
  type MultipartForm,
  type MultipartHandlerOptions,
  type UploadedFile,
} from "./service/handlers/multipart-handler.ts";
export {
  FullService,
  JsonService,
  type Coding,
  type EncodedRequest,
  type EncodedResponse,
  type EncodedStream,
  type EncodedValue,
} from "./service/full-service.ts";
export {
  PipelineService,
  definePipeline,
  type DefinePipelineOptions,
  type FittingSteps,
  type PipelineInput,
  type PipelineOutput,
  type Step,
  type StepInput,
  type StepOutput,
  type StepResult,
  type StepTarget,
  type Steps,
} from "./service/pipeline-service.ts";
export { InferenceService, defineInference, type DefineInferenceOptions, type InferenceOptions } from "./service/inference-service.ts";
export { BatchableService, defineBatchable, type DefineBatchableOptions } from "./service/batchable-service.ts";
export { arrayBatcher, namedArraysBatcher, padAxis, type ArrayBatcherOptions, type Padding } from "./service/array-batchers.ts";
export type { AnyBatcher, Batcher, Gather, GatheredRun, RunPermits } from "./service/batcher.ts";
export type { ModelServiceDefinition, ModelServiceInfo, ModelServiceOptions } from "./service/model-service.ts";
export type { ModelLoader, ModelPlace } from "./service/model-loader.ts";
export type { Processor } from "./service/processor.ts";
export { ServiceLoader, discoverServices, type Loader, type LoaderSpec } from "./service/loader.ts";
export { Tensor, hasDataType, tensor } from "./tensor/tensor.ts";
export {
  arrayTypes,
  byteSizeOf,
  dataTypes,
  isDataType,
  type DataType,
  type FixedDataType,
  type TensorData,
  type TensorElement,
} from "./tensor/data-type.ts";
export type { NestedArray } from "./tensor/nested.ts";
export { shapesOf, type NamedArrays, type NamedShapes } from "./tensor/named-arrays.ts";
export { canStack, canStackNamed, rowsOf, split, splitNamed, stack, stackNamed } from "./tensor/stack.ts";
export { bf16ToFp32, bf16ToNumber, fp16ToFp32, fp16ToNumber, fp32ToBf16, fp32ToFp16, numberToBf16, numberToFp16 } from "./tensor/half.ts";
export { singleArray, type Model, type ModelCaller, type ModelRunOptions, type TensorSpec } from "./model/model.ts";
