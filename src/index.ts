export { ServableError, errorCodes, formatPath, type ErrorCode, type FieldIssue, type JsonValue, type ServableErrorOptions } from "./errors.ts";
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
export type { AnyServiceDefinition, ClientTypes, Placement, ServiceDefinition, ServiceInfo, ServicePolicy } from "./service/definition.ts";
export { streamOf, type JsonSchema, type Schema, type StreamSchema } from "./service/schema.ts";
export type { HandlerContext, Payload, RequestHandler, ResponseHandler } from "./service/handlers/handler.ts";
export { JsonHandler } from "./service/handlers/json-handler.ts";
export { MessagePackHandler } from "./service/handlers/message-pack-handler.ts";
export { BytesHandler } from "./service/handlers/bytes-handler.ts";
export { TextHandler } from "./service/handlers/text-handler.ts";
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
  type StepTarget,
} from "./service/pipeline-service.ts";
export { ServiceLoader, discoverServices, type Loader, type LoaderSpec } from "./service/loader.ts";
