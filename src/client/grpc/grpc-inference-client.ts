import { ServableError, type JsonValue } from "../../errors.ts";
import { refuseUnknownKeys } from "../../known-keys.ts";
import type { inference } from "../../protocol/grpc/generated/messages.js";
import { writeInferRequest } from "../../protocol/grpc/infer-request.ts";
import { readInferResponse } from "../../protocol/grpc/infer-response.ts";
import { modelConfigJson } from "../../protocol/grpc/model-config.ts";
import { readIndex, readModelMetadata, readServerMetadata, readStatistics } from "../../protocol/grpc/model-info.ts";
import { finalResponseKey } from "../../protocol/grpc/parameters.ts";
import type { InferRequest } from "../../protocol/inference.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata } from "../../protocol/model-info.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { closable } from "../closable.ts";
import { inferResult, outgoingInfer, type AnyInputs, type ExpectedAnswer } from "../open-inference/infer-call.ts";
import {
  indexKeys,
  loadKeys,
  modelCallKeys,
  unloadKeys,
  type IndexOptions,
  type InferenceClient,
  type InferOptions,
  type InferResult,
  type LoadOptions,
  type ModelCallOptions,
  type UnloadOptions,
} from "../open-inference/inference-client.ts";
import type { AnyModels, ClassifiedOutputs, ModelInputs, ModelMap, ModelOutputs, OutputName } from "../open-inference/model-types.ts";
import { callKeys, type CallOptions } from "../options.ts";
import { Connection } from "./connection.ts";
import { inferStream } from "./infer-stream.ts";
import { mapEach } from "./map-each.ts";
import { methods } from "./methods.ts";
import { resolveGrpcClient, type GrpcClientOptions } from "./options.ts";

/** One request of a stream of them. */
export interface StreamedRequest<Inputs> extends Pick<InferOptions, "id" | "outputs" | "parameters" | "priority" | "sequence"> {
  readonly inputs: Inputs;
}

/** What became of one request of a stream: a result, or the error that it got; the stream goes on. */
export type StreamedResult<Outputs> =
  | { readonly id: string; readonly result: InferResult<Outputs>; readonly error?: undefined }
  | { readonly id: string; readonly result?: undefined; readonly error: ServableError };

type ModelInferResponse = inference.ModelInferResponse.$Properties;

const isFinal = "triton_final_response";

/**
 * A client of the Open Inference Protocol over gRPC: of this package's model server, Triton, and KServe. It needs the packages
 * `@grpc/grpc-js` and `protobufjs`, and does what `OpenInferenceClient` does over HTTP, and streams besides.
 *
 * @typeParam Models - the models that are served; `servable triton types` writes it. Without it any names and tensors are taken
 * @example
 * ```ts
 * import { GrpcInferenceClient } from "servable/grpc";
 *
 * const client = new GrpcInferenceClient("grpc://127.0.0.1:8001", { timeoutMs: 5_000 });
 *
 * export async function scores(pixels: Float32Array): Promise<Float32Array> {
 *   const { outputs } = await client.infer("mlp", { x: { shape: [1, 64], data: pixels } });
 *   return outputs.y?.as("FP32").data ?? new Float32Array();
 * }
 * ```
 */
export class GrpcInferenceClient<Models extends ModelMap<Models> = AnyModels> implements InferenceClient<Models> {
  readonly #connection: Connection;

  /**
   * @param url - `grpc://host:port`, or `grpcs://` for TLS
   * @throws ServableError `invalid_argument` for a URL or an option that makes no sense, `invalid_config` for an option that there is not
   */
  constructor(url: string, options: GrpcClientOptions = {}) {
    this.#connection = new Connection(resolveGrpcClient(url, options));
  }

  /** Cuts the connection; calls that are open fail. */
  close(): void {
    this.#connection.close();
  }

  async live(options: CallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, callKeys, "A call of live");
    return this.#health(async () => (await this.#connection.unary(methods.ServerLive, {}, { ...options, retries: 0 })).message.live);
  }

  async ready(options: CallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, callKeys, "A call of ready");
    return this.#health(async () => (await this.#connection.unary(methods.ServerReady, {}, { ...options, retries: 0 })).message.ready);
  }

  async modelReady(model: keyof Models & string, options: ModelCallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelReady");
    const request = { name: model, version: options.version ?? "" };
    return this.#health(
      async () => (await this.#connection.unary(methods.ModelReady, request, { ...options, retries: 0 })).message.ready,
      true,
    );
  }

  async serverMetadata(options: CallOptions = {}): Promise<ServerMetadata> {
    refuseUnknownKeys(options, callKeys, "A call of serverMetadata");
    return readServerMetadata((await this.#connection.unary(methods.ServerMetadata, {}, options)).message);
  }

  async modelMetadata(model: keyof Models & string, options: ModelCallOptions = {}): Promise<ModelMetadata> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelMetadata");
    const request = { name: model, version: options.version ?? "" };
    return readModelMetadata((await this.#connection.unary(methods.ModelMetadata, request, options)).message);
  }

  async modelConfig(model: keyof Models & string, options: ModelCallOptions = {}): Promise<Readonly<Record<string, JsonValue>>> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelConfig");
    const request = { name: model, version: options.version ?? "" };
    const { message, packages } = await this.#connection.unary(methods.ModelConfig, request, options);
    return modelConfigJson(message.config ?? {}, packages.messages);
  }

  async statistics(model?: keyof Models & string, options: ModelCallOptions = {}): Promise<readonly ModelStatistics[]> {
    refuseUnknownKeys(options, modelCallKeys, "A call of statistics");
    const request = { name: model ?? "", version: options.version ?? "" };
    return readStatistics((await this.#connection.unary(methods.ModelStatistics, request, options)).message);
  }

  async index(options: IndexOptions = {}): Promise<readonly RepositoryIndexEntry[]> {
    refuseUnknownKeys(options, indexKeys, "A call of index");
    return readIndex((await this.#connection.unary(methods.RepositoryIndex, { ready: options.ready ?? false }, options)).message);
  }

  async load(model: keyof Models & string, options: LoadOptions = {}): Promise<void> {
    refuseUnknownKeys(options, loadKeys, "A load");
    const { config, files = {} } = options;
    const parameters: Record<string, inference.ModelRepositoryParameter.$Properties> = {};
    if (config !== undefined) parameters.config = { stringParam: typeof config === "string" ? config : JSON.stringify(config) };
    for (const [name, bytes] of Object.entries(files)) parameters[`file:${name}`] = { bytesParam: bytes };
    await this.#connection.unary(methods.RepositoryModelLoad, { modelName: model, parameters }, options);
  }

  async unload(model: keyof Models & string, options: UnloadOptions = {}): Promise<void> {
    refuseUnknownKeys(options, unloadKeys, "An unload");
    const parameters = { unload_dependents: { boolParam: options.unloadDependents ?? false } };
    await this.#connection.unary(methods.RepositoryModelUnload, { modelName: model, parameters }, options);
  }

  async infer<M extends keyof Models & string, Output extends OutputName<Models[M]> = OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    options: InferOptions<Output> = {},
  ): Promise<InferResult<ModelOutputs<Models[M], Output>>> {
    const result = await this.#infer(requestOf(model, inputs, options), options);
    // That the server's models are those of `Models` is the caller's promise, as is that a server keeps to their metadata.
    return result as unknown as InferResult<ModelOutputs<Models[M], Output>>;
  }

  async classify<M extends keyof Models & string, Output extends OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    classes: { readonly [Name in Output]: number },
    options: Omit<InferOptions<Output>, "outputs"> = {},
  ): Promise<InferResult<ClassifiedOutputs<Output>>> {
    const result = await this.#infer(requestOf(model, inputs, options, classes), options);
    return result as unknown as InferResult<ClassifiedOutputs<Output>>;
  }

  /**
   * Runs a model that gives any number of answers to one request (a decoupled one); of others, one. Leaving the loop ends the request.
   *
   * @throws ServableError with the server's own words
   */
  inferStream<M extends keyof Models & string, Output extends OutputName<Models[M]> = OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    options: InferOptions<Output> = {},
  ): AsyncIterableIterator<InferResult<ModelOutputs<Models[M], Output>>> {
    const expected = this.#expected([]);
    const request = requestOf(model, inputs, { ...options, parameters: { ...options.parameters, [finalResponseKey]: true } });
    const clock = this.#connection.clock("ModelStreamInfer", options);
    const replies = inferStream(this.#connection, only(request), clock, options);
    async function* results(): AsyncGenerator<InferResult<ModelOutputs<Models[M], Output>>> {
      for await (const { message, error } of replies) {
        if (error !== undefined) throw error;
        const result = inferResult(expected, () => readInferResponse(message));
        const { [isFinal]: final, ...parameters } = result.parameters;
        // The last message of a decoupled model is empty and no answer.
        const empty = final === true && Object.keys(result.outputs).length === 0;
        if (!empty) yield { ...result, parameters } as unknown as InferResult<ModelOutputs<Models[M], Output>>;
        if (final === true) return;
      }
    }
    return closable(results(), () => clock.leave());
  }

  /**
   * Runs a model on each of many requests over one stream, such as those of a sequence: no faster than they are taken, with the
   * results in the requests' order. A request that fails has its error in its place.
   */
  inferEach<M extends keyof Models & string>(
    model: M,
    requests: AsyncIterable<StreamedRequest<ModelInputs<Models[M]>>> | Iterable<StreamedRequest<ModelInputs<Models[M]>>>,
    options: ModelCallOptions = {},
  ): AsyncIterableIterator<StreamedResult<ModelOutputs<Models[M]>>> {
    refuseUnknownKeys(options, modelCallKeys, "A call of inferEach");
    const clock = this.#connection.clock("ModelStreamInfer", options);
    const written = mapEach(requests, ({ inputs, ...own }) => requestOf(model, inputs, { ...options, ...own }));
    const replies = inferStream(this.#connection, written, clock, options);
    const expected = this.#expected([]);
    const read = (id: string, message: ModelInferResponse): StreamedResult<ModelOutputs<Models[M]>> => {
      try {
        const result = inferResult(expected, () => readInferResponse(message));
        return { id, result: result as unknown as InferResult<ModelOutputs<Models[M]>> };
      } catch (thrown) {
        if (ServableError.isInstance(thrown)) return { id, error: thrown };
        throw thrown;
      }
    };
    async function* results(): AsyncGenerator<StreamedResult<ModelOutputs<Models[M]>>> {
      for await (const { id, message, error } of replies) yield error === undefined ? read(id, message) : { id, error };
    }
    return closable(results(), () => clock.leave());
  }

  async #infer(request: InferRequest, options: CallOptions): Promise<InferResult<Record<string, Tensor>>> {
    const method = this.#connection.compresses ? methods.ModelInfer : methods.ModelInferGathered;
    const { message } = await this.#connection.unary(method, writeInferRequest(request), options);
    return inferResult(this.#expected(request.outputs), () => readInferResponse(message));
  }

  #expected(asked: ExpectedAnswer["asked"]): ExpectedAnswer {
    return { origin: this.#connection.origin, asked };
  }

  /** What says no is an answer, and so is that nobody answers at all. */
  async #health(ask: () => Promise<boolean>, unknownToo = false): Promise<boolean> {
    try {
      return await ask();
    } catch (thrown) {
      if (!ServableError.isInstance(thrown)) throw thrown;
      const no = thrown.code === "unavailable" || thrown.code === "not_ready" || (unknownToo && thrown.code === "not_found");
      if (no) return false;
      throw thrown;
    }
  }
}

function requestOf(model: string, inputs: AnyInputs, options: InferOptions, classes?: Readonly<Record<string, number>>): InferRequest {
  const { id, parameters, inputs: tensors, outputs } = outgoingInfer(inputs, options, classes);
  return { modelName: model, modelVersion: options.version ?? "", id, parameters, inputs: tensors, outputs };
}

async function* only<T>(item: T): AsyncGenerator<T> {
  yield await Promise.resolve(item);
}
