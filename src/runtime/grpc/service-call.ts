import type { Engine } from "../../engine/engine.ts";
import type { Execution } from "../../engine/execution.ts";
import { ServableError } from "../../errors.ts";
import type { GrpcJs } from "../../protocol/grpc/packages.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { EncodedRequest, EncodedResponse } from "../../service/full-service.ts";
import { negotiateResponse, selectRequestHandler } from "../../service/handlers/negotiate.ts";
import { requestIdOf } from "../http/head.ts";
import { toWireError } from "../http/problem.ts";
import { failureOf, type Failure } from "./failure.ts";
import { metadataOfCall, timeoutOfCall, type StreamCall, type UnaryCall } from "./host.ts";

/** What is asked of a service. */
export interface ServiceRequest {
  readonly service: string;
  readonly contentType: string | undefined;
  readonly accept: string | undefined;
}

/** One call to a service over gRPC: admitted, run, and whatever goes wrong with it told once. */
export class ServiceCall {
  readonly requestId: string;
  readonly #engine: Engine;
  readonly #grpc: GrpcJs;
  readonly #call: UnaryCall | StreamCall;
  readonly #since = performance.now();
  #service: string | undefined;
  #execution: Execution | undefined;
  #responseType = "";
  #maxBodyBytes = 0;

  constructor(engine: Engine, grpc: GrpcJs, call: UnaryCall | StreamCall) {
    this.#engine = engine;
    this.#grpc = grpc;
    this.#call = call;
    const [id] = call.metadata.get("x-request-id");
    this.requestId = requestIdOf(typeof id === "string" ? id : undefined);
  }

  /** Takes the request in, before its body is looked at. @throws ServableError */
  admit({ service, contentType, accept }: ServiceRequest): AnyServiceDefinition {
    const call = this.#call;
    const definition = this.#engine.definitions.get(service);
    if (definition === undefined) throw this.#engine.unknownService(service);
    this.#service = service;
    this.#responseType = negotiateResponse(definition.response, accept);
    if (!definition.inputStream) selectRequestHandler(definition.request, contentType);
    this.#maxBodyBytes = this.#engine.policy(service).maxBodyBytes;
    const execution = this.#engine.admit(service, {
      requestId: this.requestId,
      metadata: () => metadataOfCall(call),
      timeoutMs: timeoutOfCall(call),
    });
    this.#execution = execution;
    // Told at the end of every call; of one that has its answer it changes nothing.
    call.once("cancelled", () => execution.cancel());
    if (call.cancelled) execution.cancel();
    return definition;
  }

  /** Runs the admitted request. @throws ServableError */
  run(contentType: string | undefined, body: EncodedRequest["body"]): Promise<EncodedResponse> {
    if (this.#execution === undefined) throw new ServableError("internal", "The call was not admitted.");
    if (body instanceof Uint8Array) this.checkSize(body);
    return this.#execution.run({ contentType, body, responseType: this.#responseType });
  }

  /** @throws ServableError `payload_too_large` */
  checkSize(body: Uint8Array): void {
    const maxBodyBytes = this.#maxBodyBytes;
    if (body.byteLength <= maxBodyBytes) return;
    throw new ServableError("payload_too_large", `The body is larger than ${maxBodyBytes} bytes.`, { details: { maxBodyBytes } });
  }

  /** A failure, told to who watches the engine and as the call's end. */
  fail(thrown: unknown): Failure {
    const error = toWireError(thrown);
    if (this.#execution === undefined) this.#engine.refused(this.requestId, this.#service, error, performance.now() - this.#since);
    else this.#execution.fail(error);
    return failureOf(this.#grpc, error, this.requestId);
  }
}

const encoder = new TextEncoder();

/** An answer's body as bytes. */
export function bytesOfBody(body: Uint8Array | string): Uint8Array {
  return typeof body === "string" ? encoder.encode(body) : body;
}

/** For a method that answers with one message. */
export function streamsOnly(service: string, instead: string): ServableError {
  return new ServableError("invalid_request", `Service '${service}' answers with a stream: ${instead}.`);
}
