/** A small model server, all in this thread: what fronts are tested on without files, workers and native code. */
import { ServableError } from "../../../../src/errors.ts";
import { elementsOf } from "../../../../src/protocol/elements.ts";
import { InferenceError } from "../../../../src/protocol/inference-error.ts";
import type { InferOutput, InferRequest, InferResponse } from "../../../../src/protocol/inference.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry } from "../../../../src/protocol/model-info.ts";
import type { InferAdmission, InferCaller, LoadOverrides, ModelPlane, ServedModel, Settings } from "../../../../src/runtime/model-plane.ts";
import type { ModelConfig } from "../../../../src/triton/model-config.ts";

/** What a model computes: any number of sets of outputs. */
export type Compute = (
  request: InferRequest,
  signal: AbortSignal,
) => AsyncIterable<readonly InferOutput[]> | Promise<readonly InferOutput[]>;

const zero = { count: 0, ns: 0 };

class Admission implements InferAdmission {
  onFail: ((error: ServableError) => void) | undefined;
  readonly #model: SmallModel;
  readonly #abort = new AbortController();

  constructor(model: SmallModel, caller: InferCaller) {
    this.#model = model;
    model.callers.push(caller);
    if (caller.timeoutMs !== undefined) {
      const timer = setTimeout(() => {
        this.onFail?.(new ServableError("deadline_exceeded", "Too late."));
      }, caller.timeoutMs);
      this.#abort.signal.addEventListener("abort", () => {
        clearTimeout(timer);
      });
    }
  }

  async infer(request: InferRequest): Promise<InferResponse> {
    for await (const response of this.stream(request)) return response;
    throw new InferenceError("INTERNAL", "no response");
  }

  async *stream(request: InferRequest): AsyncGenerator<InferResponse> {
    const { name, version, compute } = this.#model;
    const wanted = new Set(request.outputs.map((output) => output.name));
    const toResponse = (outputs: readonly InferOutput[]): InferResponse => ({
      modelName: name,
      modelVersion: version,
      id: request.id,
      parameters: {},
      outputs: outputs.filter((output) => wanted.size === 0 || wanted.has(output.name)),
    });
    try {
      const result = compute(request, this.#abort.signal);
      if (result instanceof Promise) yield toResponse(await result);
      else for await (const outputs of result) yield toResponse(outputs);
    } finally {
      this.#leave();
    }
  }

  cancel(): void {
    this.#model.cancelled += 1;
    this.#leave();
  }

  fail(error: ServableError): void {
    this.#model.failures.push(error);
    this.#leave();
  }

  #leave(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#model.inside -= 1;
  }
}

/** One model, and what became of its requests. */
export class SmallModel implements ServedModel {
  readonly name: string;
  readonly version = "1";
  readonly config: ModelConfig;
  readonly compute: Compute;
  readonly callers: InferCaller[] = [];
  readonly failures: ServableError[] = [];
  cancelled = 0;
  inside = 0;
  capacity = 100;

  constructor(config: ModelConfig, compute: Compute) {
    this.name = config.name ?? "";
    this.config = config;
    this.compute = compute;
  }

  admit(caller: InferCaller): InferAdmission {
    if (this.inside >= this.capacity) throw new InferenceError("UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size");
    this.inside += 1;
    return new Admission(this, caller);
  }
}

/** Serves small models; what is asked of its repository is noted. */
export class SmallPlane implements ModelPlane {
  readonly serverMetadata = { name: "triton", version: "2.73.0", extensions: ["classification", "binary_tensor_data"] };
  readonly models: ReadonlyMap<string, SmallModel>;
  readonly asked: unknown[] = [];
  isReady = true;
  /** Known, and not ready. */
  readonly loading: ReadonlySet<string> = new Set(["loading"]);
  #trace: Settings = {
    trace_level: ["OFF"],
    trace_rate: "1000",
    trace_count: "-1",
    log_frequency: "0",
    trace_file: "",
    trace_mode: "triton",
  };
  #log: Settings = { log_file: "", log_info: true, log_warning: true, log_error: true, log_verbose_level: 0, log_format: "default" };

  constructor(models: readonly SmallModel[]) {
    this.models = new Map(models.map((model) => [model.name, model]));
  }

  live(): boolean {
    return true;
  }
  ready(): boolean {
    return this.isReady;
  }
  modelReady(name: string, version: string): boolean {
    if (this.loading.has(name)) return false;
    return this.model(name, version).name !== "";
  }
  model(name: string, version: string): SmallModel {
    const model = this.models.get(name);
    if (model === undefined) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' is not found`);
    if (version !== "" && version !== model.version) {
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${name}' version ${version} is not found`);
    }
    return model;
  }
  modelMetadata(name: string, version: string): ModelMetadata {
    const { config } = this.model(name, version);
    const batch = (config.maxBatchSize ?? 0) > 0 ? [-1] : [];
    const tensors = (config.input ?? []).map(({ name: tensor = "", dataType = "TYPE_FP32", dims = [] }) => ({
      name: tensor,
      datatype: dataType === "TYPE_STRING" ? "BYTES" : dataType.slice(5),
      shape: [...batch, ...dims],
    }));
    return { name, versions: ["1"], platform: config.backend ?? "", inputs: tensors, outputs: [] };
  }
  statistics(name: string, version: string): readonly ModelStatistics[] {
    if (name !== "" && !this.models.has(name)) throw new InferenceError("INVALID_ARG", `requested model '${name}' is not available`);
    const models = [...this.models.values()].filter((model) => name === "" || model.name === name);
    return models.map((model) => ({
      name: model.name,
      version: version === "" ? model.version : version,
      last_inference: 0,
      inference_count: model.callers.length,
      execution_count: model.callers.length,
      inference_stats: {
        success: { count: model.callers.length, ns: 1_500_000 },
        fail: zero,
        queue: zero,
        compute_input: zero,
        compute_infer: zero,
        compute_output: zero,
        cache_hit: zero,
        cache_miss: zero,
      },
      response_stats: {},
      batch_stats: [],
      memory_usage: [],
    }));
  }
  index(repository: string, onlyReady: boolean): Promise<readonly RepositoryIndexEntry[]> {
    this.#checkRepository(repository);
    this.asked.push(["index", onlyReady]);
    return Promise.resolve([...this.models.values()].map(({ name, version }) => ({ name, version, state: "READY" as const })));
  }
  async load(repository: string, name: string, overrides: LoadOverrides): Promise<void> {
    this.#checkRepository(repository);
    this.asked.push([
      "load",
      name,
      overrides.config,
      [...(overrides.files ?? [])].map(([path, bytes]) => [path, Buffer.from(bytes).toString()]),
    ]);
    if (!this.models.has(name)) throw new InferenceError("INTERNAL", `failed to load '${name}', failed to poll from model repository`);
    await Promise.resolve();
  }
  async unload(repository: string, name: string, unloadDependents: boolean): Promise<void> {
    this.#checkRepository(repository);
    this.asked.push(["unload", name, unloadDependents]);
    await Promise.resolve();
  }
  traceSettings(model: string, changes?: Readonly<Record<string, readonly string[] | null>>): Settings {
    this.asked.push(["trace", model, changes]);
    for (const [name, value] of Object.entries(changes ?? {})) {
      if (value !== null) this.#trace = { ...this.#trace, [name]: name === "trace_level" ? value : (value[0] ?? "") };
    }
    return this.#trace;
  }
  logSettings(changes?: Readonly<Record<string, string | number | boolean>>): Settings {
    this.#log = { ...this.#log, ...changes };
    return this.#log;
  }

  #checkRepository(repository: string): void {
    if (repository !== "") throw new InferenceError("UNSUPPORTED", "'repository_name' specification is not supported");
  }
}

/** The elements of an input. */
function dataOf(request: InferRequest, name: string): { readonly shape: readonly number[]; readonly data: ReturnType<typeof elementsOf> } {
  const input = request.inputs.find((candidate) => candidate.name === name);
  if (input === undefined) throw new InferenceError("INVALID_ARG", `missing input '${name}'`);
  return { shape: input.shape, data: elementsOf(input, { modelName: request.modelName, requestId: request.id }) };
}

/** `OUTPUT = INPUT0 + INPUT1`, FP32 of any length. */
export function addModel(name = "add"): SmallModel {
  const tensor = (input: string): object => ({ name: input, dataType: "TYPE_FP32", dims: [-1] });
  const config: ModelConfig = { name, backend: "typescript", input: [tensor("INPUT0"), tensor("INPUT1")] };
  return new SmallModel(config, (request) => {
    const [one, other] = [dataOf(request, "INPUT0"), dataOf(request, "INPUT1")];
    const [left, right] = [one.data as Float32Array, other.data as Float32Array];
    const sum = Float32Array.from(left, (value, index) => value + (right[index] ?? 0));
    return Promise.resolve([{ name: "OUTPUT", dataType: "FP32", shape: one.shape, data: sum }]);
  });
}

/** Gives its only input back, as it is. */
export function identityModel(name: string, dataType: "FP32" | "BYTES", dims: readonly number[] = [-1]): SmallModel {
  const config: ModelConfig = {
    name,
    backend: "typescript",
    input: [{ name: "INPUT", dataType: dataType === "BYTES" ? "TYPE_STRING" : "TYPE_FP32", dims }],
  };
  return new SmallModel(config, (request) => {
    const { shape, data } = dataOf(request, "INPUT");
    return Promise.resolve([{ name: "OUTPUT", dataType, shape, data }]);
  });
}

/** Waits until its client goes, or for ever. */
export function waitingModel(name = "wait"): SmallModel {
  return new SmallModel(
    { name, backend: "typescript", input: [] },
    (_request, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          reject(new InferenceError("CANCELLED", "cancelled"));
        });
      }),
  );
}

/** Streams its input's words, one response each; `fail` among them is a failure. */
export function wordsModel(name = "words"): SmallModel {
  const config: ModelConfig = {
    name,
    backend: "typescript",
    input: [{ name: "text", dataType: "TYPE_STRING", dims: [1] }],
    modelTransactionPolicy: { decoupled: true },
  };
  return new SmallModel(config, async function* (request, signal) {
    const [text = ""] = dataOf(request, "text").data as readonly string[];
    for (const word of text.split(" ").filter((part) => part !== "")) {
      if (word === "fail") throw new InferenceError("INVALID_ARG", "a bad word");
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (signal.aborted) return;
      yield [{ name: "word", dataType: "BYTES", shape: [1], data: [word] }];
    }
  });
}
