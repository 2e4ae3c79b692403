import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { checkInputs } from "../../model/check-inputs.ts";
import type { Model, ModelRunOptions, TensorSpec } from "../../model/model.ts";
import { isDataType } from "../../tensor/data-type.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { TensorMetadata } from "../../protocol/model-info.ts";
import type { InferenceClient } from "../open-inference/inference-client.ts";
import { openClient } from "./connect.ts";

/** How a model that runs elsewhere is run. */
export interface TritonModelOptions {
  /** @default the newest one that is ready */
  readonly version?: string | undefined;
  /** Longest time for one run; a request's own deadline counts, too. @default the client's */
  readonly timeoutMs?: number | undefined;
}

/** How a model is connected to. */
export interface ConnectOptions extends TritonModelOptions {
  /** Gives up connecting. @default none */
  readonly signal?: AbortSignal | undefined;
}

/** The keys of {@link TritonModelOptions}. */
export const runKeys: KeysOf<TritonModelOptions> = { version: true, timeoutMs: true };

/** The keys of {@link ConnectOptions}. */
export const connectKeys: KeysOf<ConnectOptions> = { ...runKeys, signal: true };

/** What a {@link TritonModel} is made of. */
export interface TritonModelParts extends TritonModelOptions {
  readonly name: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Names of inputs that a run may leave out. @default none */
  readonly optional?: readonly string[] | undefined;
}

const keys = { ...runKeys, name: "needed", inputs: "needed", outputs: "needed", optional: true } satisfies KeysOf<TritonModelParts>;

/**
 * A model whose forward pass runs in a Triton, or any other server that speaks the Open Inference Protocol: usable wherever a model is. It computes nothing
 * here, so it belongs on the thread that does I/O.
 *
 * @example
 * ```ts
 * import { defineInference } from "servable";
 * import { Tensor } from "servable";
 * import { TritonModel } from "servable/triton";
 *
 * export const scores = defineInference({
 *   name: "scores",
 *   model: () => TritonModel.connect("http://127.0.0.1:8000", "classifier"),
 *   preprocess: (row: number[]) => ({ x: Tensor.from("FP32", [row]) }),
 *   postprocess: ({ y }) => y?.toNested(),
 *   policy: { placement: "inline" },
 * });
 * ```
 */
export class TritonModel implements Model {
  readonly name: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #client: InferenceClient;
  readonly #closeClient: () => void;
  readonly #options: TritonModelOptions;
  readonly #optional: ReadonlySet<string>;
  readonly #runs = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /**
   * A model of which all is known; {@link TritonModel.connect} asks the server.
   *
   * @param server - where it runs: an address such as `http://127.0.0.1:8000` or `grpc://127.0.0.1:8001`, or a client, which `close` leaves open
   * @throws ServableError `invalid_argument`, `invalid_config`
   */
  constructor(server: string | URL | InferenceClient, parts: TritonModelParts) {
    refuseUnknownKeys(parts, keys, "TritonModel");
    const { client, close } = openClient(server);
    this.#client = client;
    this.#closeClient = close;
    this.name = parts.name;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.#options = { version: parts.version, timeoutMs: parts.timeoutMs };
    this.#optional = new Set(parts.optional);
  }

  /**
   * A model as the server describes it.
   *
   * @throws ServableError `not_found` where the server has no such model, `not_ready` while it is not loaded, `unavailable` where nobody answers
   */
  static async connect(server: string | URL | InferenceClient, name: string, options: ConnectOptions = {}): Promise<TritonModel> {
    refuseUnknownKeys(options, connectKeys, "TritonModel.connect");
    const opened = openClient(server);
    try {
      const { inputs, outputs } = await opened.client.modelMetadata(name, callOf(options));
      const parts = { name, inputs: inputs.map(specOf), outputs: outputs.map(specOf), ...runOf(options) };
      return new TritonModel(typeof server === "string" || server instanceof URL ? server : opened.client, parts);
    } finally {
      opened.close();
    }
  }

  /**
   * Runs the model once.
   *
   * @param options - `priority`, where it is 1 or more, is Triton's: 1 is the highest
   * @throws ServableError `invalid_argument` when the inputs do not fit; `cancelled`; `deadline_exceeded`; `unavailable` after `close` or where the server can't be
   * reached; else what the server says
   */
  async run(inputs: NamedArrays, { context, signal = context?.signal, priority }: ModelRunOptions = {}): Promise<NamedArrays> {
    if (this.#closing !== undefined) throw new ServableError("unavailable", `The model '${this.name}' is closed.`);
    const left = this.inputs.filter(({ name }) => !this.#optional.has(name) || Object.hasOwn(inputs, name));
    checkInputs({ name: this.name, inputs: left.length === this.inputs.length ? this.inputs : left }, inputs);
    if (signal?.aborted === true) throw this.#cancelled(signal.reason);
    const timeoutMs = this.#timeLeft(context?.deadline);
    const run = this.#run(inputs, signal, timeoutMs, priority);
    this.#runs.add(run);
    try {
      return await run;
    } finally {
      this.#runs.delete(run);
    }
  }

  async #run(
    inputs: NamedArrays,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    priority: number | undefined,
  ): Promise<NamedArrays> {
    const { version } = this.#options;
    // Triton's 0 means the model's own; what is below has no meaning there.
    const level = priority !== undefined && priority >= 1 ? priority : undefined;
    const { outputs } = await this.#client.infer(this.name, inputs, { version, signal, timeoutMs, priority: level });
    return outputs;
  }

  /** Gives the connection back, once the runs in flight are done. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#runs).then(this.#closeClient);
    return this.#closing;
  }

  #timeLeft(deadline: number | undefined): number | undefined {
    const { timeoutMs } = this.#options;
    if (deadline === undefined || !Number.isFinite(deadline)) return timeoutMs;
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) {
      throw new ServableError("deadline_exceeded", `The time of the request was over before the model '${this.name}' ran for it.`);
    }
    return Math.min(leftMs, timeoutMs ?? leftMs);
  }

  #cancelled(reason: unknown): ServableError {
    if (ServableError.isInstance(reason)) return reason;
    return new ServableError("cancelled", `The run of the model '${this.name}' was cancelled before it started.`, { cause: reason });
  }
}

/** What a call for information needs of the options. */
export function callOf({ version, timeoutMs, signal }: ConnectOptions): ConnectOptions {
  return { version, timeoutMs, signal };
}

/** What later runs need of the options. */
export function runOf({ version, timeoutMs }: ConnectOptions): TritonModelOptions {
  return { version, timeoutMs };
}

/** A tensor as the server describes it. @throws ServableError `unsupported` for a data type that is none */
function specOf({ name, datatype, shape }: TensorMetadata): TensorSpec {
  if (isDataType(datatype)) return { name, dataType: datatype, shape };
  throw new ServableError("unsupported", `The server describes '${name}' with the data type '${datatype}', which is unknown here.`);
}
