import { ServableError, messageOf, type JsonValue } from "../../errors.ts";
import { writeInferRequest, type OutgoingInfer } from "../../protocol/http/write-request.ts";
import { refuseUnknownKeys } from "../../known-keys.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata, TensorMetadata } from "../../protocol/model-info.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { CallClock } from "../call-clock.ts";
import { closable } from "../closable.ts";
import { exchange, type Exchange } from "../exchange.ts";
import { isJsonObject, parseJson, writeJson } from "../json.ts";
import { callKeys, resolveCall, type CallOptions } from "../options.ts";
import type { RequestBody } from "../request-body.ts";
import { jsonBody, noBody, tensorBody } from "./bodies.ts";
import { readModelFailure } from "./failure.ts";
import { readGenerateResult, readGenerateStream, type GenerateResult } from "./generate-stream.ts";
import { outgoingInfer, readInferAnswer } from "./infer-call.ts";
import {
  indexKeys,
  modelCallKeys,
  unloadKeys,
  type IndexOptions,
  type InferenceClient,
  type InferOptions,
  type InferResult,
  type LoadOptions,
  type ModelCallOptions,
  type UnloadOptions,
} from "./inference-client.ts";
import type { AnyModels, ClassifiedOutputs, ModelInputs, ModelMap, ModelOutputs, OutputName } from "./model-types.ts";
import { resolveInferenceClient, type OpenInferenceClientOptions, type ResolvedInferenceClient } from "./options.ts";
import { loadBody } from "./repository.ts";

/** What differs from call to call, besides the path. */
type Request<T> = Pick<Exchange<T>, "encode" | "read"> & Partial<Pick<Exchange<T>, "method" | "accept" | "idempotent">>;

const eventStream = "text/event-stream, application/json;q=0.5";

/**
 * A client of the Open Inference Protocol over HTTP: of this package's model server, Triton, and KServe. Runs wherever there is `fetch`.
 *
 * Tensors travel as bytes, in both directions; those of an answer are views on its body. What the server refuses is thrown as a
 * ServableError with the server's own words. A request that was turned away unheard (a full queue, a model that is not ready yet) is sent again, up to
 * `retries` times; one that only reads, also where the connection broke.
 *
 * @typeParam Models - the models that are served; `servable triton types` writes it. Without it any names and tensors are taken
 * @example
 * ```ts
 * import { OpenInferenceClient } from "servable/client";
 *
 * const client = new OpenInferenceClient("http://127.0.0.1:8000", { timeoutMs: 5_000 });
 *
 * export async function scores(pixels: Float32Array): Promise<Float32Array> {
 *   const { outputs } = await client.infer("mlp", { x: { shape: [1, 64], data: pixels } });
 *   return outputs.y?.as("FP32").data ?? new Float32Array();
 * }
 * ```
 */
export class OpenInferenceClient<Models extends ModelMap<Models> = AnyModels> implements InferenceClient<Models> {
  readonly #resolved: ResolvedInferenceClient;

  /**
   * @param url - where the server is, with its path prefix if it has one, without `/v2`
   * @throws ServableError `invalid_argument` for a URL or an option that makes no sense, `invalid_config` for an option that there is not
   */
  constructor(url: string | URL, options: OpenInferenceClientOptions = {}) {
    this.#resolved = resolveInferenceClient(url, options);
  }

  async live(options: CallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, callKeys, "A call of live");
    return this.#health("v2/health/live", [400, 503], options);
  }

  async ready(options: CallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, callKeys, "A call of ready");
    return this.#health("v2/health/ready", [400, 503], options);
  }

  async modelReady(model: keyof Models & string, options: ModelCallOptions = {}): Promise<boolean> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelReady");
    // Servers before 2.73 answer 400 for a model that they do not know.
    return this.#health(`${modelPath(model, options.version)}/ready`, [400, 404, 503], options);
  }

  async serverMetadata(options: CallOptions = {}): Promise<ServerMetadata> {
    refuseUnknownKeys(options, callKeys, "A call of serverMetadata");
    return this.#get("v2", options, isServerMetadata);
  }

  async modelMetadata(model: keyof Models & string, options: ModelCallOptions = {}): Promise<ModelMetadata> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelMetadata");
    return this.#get(modelPath(model, options.version), options, isModelMetadata);
  }

  async modelConfig(model: keyof Models & string, options: ModelCallOptions = {}): Promise<Readonly<Record<string, JsonValue>>> {
    refuseUnknownKeys(options, modelCallKeys, "A call of modelConfig");
    return this.#get(`${modelPath(model, options.version)}/config`, options, isJsonObject);
  }

  async statistics(model?: keyof Models & string, options: ModelCallOptions = {}): Promise<readonly ModelStatistics[]> {
    refuseUnknownKeys(options, modelCallKeys, "A call of statistics");
    const path = model === undefined ? "v2/models/stats" : `${modelPath(model, options.version)}/stats`;
    const { model_stats } = await this.#get(path, options, isStatistics);
    return model_stats;
  }

  async index(options: IndexOptions = {}): Promise<readonly RepositoryIndexEntry[]> {
    refuseUnknownKeys(options, indexKeys, "A call of index");
    const body = JSON.stringify({ ready: options.ready ?? false });
    return this.#json("v2/repository/index", options, isIndex, { encode: () => this.#jsonBody(body), idempotent: true });
  }

  async load(model: keyof Models & string, options: LoadOptions = {}): Promise<void> {
    const body = loadBody(options);
    await this.#send(`v2/repository/models/${encodeURIComponent(model)}/load`, options, {
      encode: () => this.#jsonBody(body),
      read: drain,
    });
  }

  async unload(model: keyof Models & string, options: UnloadOptions = {}): Promise<void> {
    refuseUnknownKeys(options, unloadKeys, "An unload");
    const body = JSON.stringify({ parameters: { unload_dependents: options.unloadDependents ?? false } });
    await this.#send(`v2/repository/models/${encodeURIComponent(model)}/unload`, options, {
      encode: () => this.#jsonBody(body),
      read: drain,
    });
  }

  async infer<M extends keyof Models & string, Output extends OutputName<Models[M]> = OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    options: InferOptions<Output> = {},
  ): Promise<InferResult<ModelOutputs<Models[M], Output>>> {
    const result = await this.#infer(model, outgoingInfer(inputs, options), options);
    // That the server's models are those of `Models` is the caller's promise, as is that a server keeps to their metadata.
    return result as unknown as InferResult<ModelOutputs<Models[M], Output>>;
  }

  async classify<M extends keyof Models & string, Output extends OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    classes: { readonly [Name in Output]: number },
    options: Omit<InferOptions<Output>, "outputs"> = {},
  ): Promise<InferResult<ClassifiedOutputs<Output>>> {
    const result = await this.#infer(model, outgoingInfer(inputs, options, classes), options);
    return result as unknown as InferResult<ClassifiedOutputs<Output>>;
  }

  /**
   * Runs a model through its generate route: members named like an input are that input (a value or a flat list), all others are
   * parameters.
   */
  async generate(
    model: keyof Models & string,
    body: Readonly<Record<string, JsonValue>>,
    options: ModelCallOptions = {},
  ): Promise<GenerateResult> {
    refuseUnknownKeys(options, modelCallKeys, "A call of generate");
    const { origin } = this.#resolved.client;
    const read = async (response: Response): Promise<GenerateResult> => readGenerateResult(await response.text(), origin);
    return this.#send(`${modelPath(model, options.version)}/generate`, options, { encode: () => this.#jsonBody(writeJson(body)), read });
  }

  /** As {@link generate}, of models that give any number of answers. Leaving the loop ends the request. */
  generateStream(
    model: keyof Models & string,
    body: Readonly<Record<string, JsonValue>>,
    options: ModelCallOptions = {},
  ): AsyncIterableIterator<GenerateResult> {
    refuseUnknownKeys(options, modelCallKeys, "A call of generateStream");
    const path = `${modelPath(model, options.version)}/generate_stream`;
    const { origin } = this.#resolved.client;
    let clock: CallClock | undefined;
    const start = (): Promise<AsyncGenerator<GenerateResult>> => {
      const started = (clock = this.#clock(path, options));
      const read = (response: Response): Promise<AsyncGenerator<GenerateResult>> => readGenerateStream(response, started, origin);
      return exchange(this.#exchange(path, options, started, { encode: () => this.#jsonBody(writeJson(body)), read, accept: eventStream }));
    };
    async function* items(): AsyncGenerator<GenerateResult> {
      yield* await start();
    }
    return closable(items(), () => clock?.leave());
  }

  #infer(model: string, request: OutgoingInfer, options: ModelCallOptions): Promise<InferResult<Record<string, Tensor>>> {
    const written = writeInferRequest(request);
    const expected = { origin: this.#resolved.client.origin, asked: request.outputs };
    return this.#send(`${modelPath(model, options.version)}/infer`, options, {
      encode: () => tensorBody(written, this.#resolved.bodies),
      read: (response) => readInferAnswer(response, expected, this.#resolved.bodies.streams),
      accept: "application/octet-stream, application/json",
    });
  }

  /** Whether a path is well. The statuses that say no are answers, and so is that nobody answers at all. */
  async #health(path: string, unwell: readonly number[], options: CallOptions): Promise<boolean> {
    try {
      await this.#send(path, { ...options, retries: 0 }, { method: "GET", encode: () => noBody(this.#resolved.bodies), read: drain });
      return true;
    } catch (thrown) {
      if (!ServableError.isInstance(thrown)) throw thrown;
      const { status } = thrown.details;
      if (typeof status === "number" ? unwell.includes(status) : thrown.code === "unavailable") return false;
      throw thrown;
    }
  }

  #get<T extends object>(path: string, options: CallOptions, is: (value: JsonValue) => value is T & JsonValue): Promise<T> {
    return this.#json(path, options, is, { method: "GET", encode: () => noBody(this.#resolved.bodies), idempotent: true });
  }

  #json<T extends object>(
    path: string,
    options: CallOptions,
    is: (value: JsonValue) => value is T & JsonValue,
    request: Omit<Request<T>, "read">,
  ): Promise<T> {
    const { origin } = this.#resolved.client;
    const read = async (response: Response): Promise<T> => {
      const value = parseAnswer(await response.text(), origin);
      if (is(value)) return value;
      throw new ServableError("internal", `What ${origin} answered to /${path} is not what the protocol says.`);
    };
    return this.#send(path, options, { ...request, read });
  }

  #jsonBody(json: string): RequestBody {
    return jsonBody(json, this.#resolved.bodies);
  }

  #clock(path: string, options: CallOptions): CallClock {
    const { client } = this.#resolved;
    return new CallClock(resolveCall(client, options), `${client.origin}/${path}`);
  }

  async #send<T>(path: string, options: CallOptions, request: Request<T>): Promise<T> {
    const clock = this.#clock(path, options);
    const outgoing = this.#exchange(path, options, clock, request);
    const answer = await exchange({ ...outgoing, read: (response) => clock.race(request.read(response)) });
    clock.close();
    return answer;
  }

  #exchange<T>(path: string, options: CallOptions, clock: CallClock, request: Request<T>): Exchange<T> {
    const { client } = this.#resolved;
    const accept = request.accept ?? "application/json";
    return { ...request, client, call: resolveCall(client, options), clock, path, accept, readFailure: readModelFailure };
  }
}

function modelPath(model: string, version: string | undefined): string {
  const path = `v2/models/${encodeURIComponent(model)}`;
  return version === undefined || version === "" ? path : `${path}/versions/${encodeURIComponent(version)}`;
}

/** Reads a body to its end, so that its connection can be used again. */
async function drain(response: Response): Promise<void> {
  await response.arrayBuffer();
}

function parseAnswer(text: string, origin: string): JsonValue {
  try {
    return parseJson(text);
  } catch (thrown) {
    throw new ServableError("internal", `${origin} answered with JSON that can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

// These look at the outside of what they let through; what is in it is the protocol's word.

function isServerMetadata(value: JsonValue): value is ServerMetadata & JsonValue {
  return isJsonObject(value) && typeof value.name === "string";
}

/** Of models the tensors, too: models of ours are made of them. */
function isModelMetadata(value: JsonValue): value is ModelMetadata & JsonValue {
  if (!isJsonObject(value) || typeof value.name !== "string") return false;
  return [value.inputs, value.outputs].every((list) => Array.isArray(list) && list.every(isTensorMetadata));
}

function isTensorMetadata(value: JsonValue): value is TensorMetadata & JsonValue {
  if (!isJsonObject(value) || typeof value.name !== "string" || typeof value.datatype !== "string") return false;
  return Array.isArray(value.shape) && value.shape.every((dimension: JsonValue) => typeof dimension === "number");
}

function isStatistics(value: JsonValue): value is { readonly model_stats: readonly ModelStatistics[] } & JsonValue {
  return isJsonObject(value) && Array.isArray(value.model_stats);
}

function isIndex(value: JsonValue): value is readonly RepositoryIndexEntry[] & JsonValue {
  return Array.isArray(value) && value.every((entry: JsonValue) => isJsonObject(entry) && typeof entry.name === "string");
}
