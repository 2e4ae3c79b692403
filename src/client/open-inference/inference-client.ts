import type { JsonValue } from "../../errors.ts";
import type { InferParameters } from "../../protocol/inference.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata } from "../../protocol/model-info.ts";
import type { KeysOf } from "../../known-keys.ts";
import { callKeys, type CallOptions } from "../options.ts";
import type { AnyModels, ClassifiedOutputs, ModelInputs, ModelMap, ModelOutputs, OutputName } from "./model-types.ts";

/** How a model is asked for something. */
export interface ModelCallOptions extends CallOptions {
  /** @default the newest one that is ready */
  readonly version?: string | undefined;
}

/** The keys of {@link ModelCallOptions}. */
export const modelCallKeys: KeysOf<ModelCallOptions> = { ...callKeys, version: true };

/** Which sequence a request belongs to, of models that keep a state between requests. */
export interface SequenceOptions {
  readonly id: number | bigint | string;
  /** Whether it is the first request of its sequence. @default false */
  readonly start?: boolean | undefined;
  /** Whether it is the last one. @default false */
  readonly end?: boolean | undefined;
}

/** How one inference is made. */
export interface InferOptions<Output extends string = string> extends ModelCallOptions {
  /** The outputs to give. @default all */
  readonly outputs?: readonly Output[] | undefined;
  /** Comes back with the answer, and stands in the server's messages. @default the `requestId`, if there is one */
  readonly id?: string | undefined;
  /** Handed on to the model. @default none */
  readonly parameters?: InferParameters | undefined;
  /** Lower ones go first, where the model has priorities. @default the model's */
  readonly priority?: number | undefined;
  readonly sequence?: SequenceOptions | undefined;
  /** How tensors travel. JSON is many times slower, and for looking at. @default "binary" */
  readonly encoding?: "binary" | "json" | undefined;
}

/** The keys of {@link InferOptions}. */
export const inferKeys: KeysOf<InferOptions> = {
  ...modelCallKeys,
  outputs: true,
  id: true,
  parameters: true,
  priority: true,
  sequence: { id: "needed", start: true, end: true } satisfies KeysOf<SequenceOptions>,
  encoding: true,
};

/** The answer to an inference. */
export interface InferResult<Outputs> {
  readonly modelName: string;
  readonly modelVersion: string;
  /** The request's own; empty where it had none. */
  readonly id: string;
  readonly parameters: InferParameters;
  readonly outputs: Outputs;
}

/** What a model is to be loaded with instead of what is in the repository. */
export interface LoadOptions extends CallOptions {
  /** The configuration, as an object or as JSON text. @default the repository's */
  readonly config?: string | Readonly<Record<string, JsonValue>> | undefined;
  /** Files by their path in the model's folder, such as `1/model.onnx`; they need a `config`. @default the repository's */
  readonly files?: Readonly<Record<string, Uint8Array>> | undefined;
}

/** The keys of {@link LoadOptions}. */
export const loadKeys: KeysOf<LoadOptions> = { ...callKeys, config: true, files: true };

/** How a model is unloaded. */
export interface UnloadOptions extends CallOptions {
  /** Whether what an ensemble is made of goes with it, where nothing else needs it. @default false */
  readonly unloadDependents?: boolean | undefined;
}

/** The keys of {@link UnloadOptions}. */
export const unloadKeys: KeysOf<UnloadOptions> = { ...callKeys, unloadDependents: true };

/** How it is asked what is in the repository. */
export interface IndexOptions extends CallOptions {
  /** Only what is ready. @default false */
  readonly ready?: boolean | undefined;
}

/** The keys of {@link IndexOptions}. */
export const indexKeys: KeysOf<IndexOptions> = { ...callKeys, ready: true };

/**
 * A client of a server that speaks the Open Inference Protocol, version 2: this package's own, Triton, KServe. The same over HTTP and over gRPC.
 *
 * @typeParam Models - the models that are served; `servable triton types` writes it. Without it any names and tensors are taken
 */
export interface InferenceClient<Models extends ModelMap<Models> = AnyModels> {
  /** Whether the server lives; false where it can't be reached. */
  live(options?: CallOptions): Promise<boolean>;
  /** Whether the server is ready; false where it can't be reached. */
  ready(options?: CallOptions): Promise<boolean>;
  /** Whether a model is ready; false also where there is none of that name. */
  modelReady(model: keyof Models & string, options?: ModelCallOptions): Promise<boolean>;
  /** What the server is, and which extensions of the protocol it has. */
  serverMetadata(options?: CallOptions): Promise<ServerMetadata>;
  /** What a model takes and gives. */
  modelMetadata(model: keyof Models & string, options?: ModelCallOptions): Promise<ModelMetadata>;
  /** The configuration, with the names of `model_config.proto`. */
  modelConfig(model: keyof Models & string, options?: ModelCallOptions): Promise<Readonly<Record<string, JsonValue>>>;
  /**
   * What models have done so far.
   *
   * @param model - all of them where it is left out
   */
  statistics(model?: keyof Models & string, options?: ModelCallOptions): Promise<readonly ModelStatistics[]>;
  /** What is in the repository. */
  index(options?: IndexOptions): Promise<readonly RepositoryIndexEntry[]>;
  /** Resolves when the model is loaded. */
  load(model: keyof Models & string, options?: LoadOptions): Promise<void>;
  /** Resolves when unloading has begun. */
  unload(model: keyof Models & string, options?: UnloadOptions): Promise<void>;
  /**
   * Runs a model.
   *
   * @throws ServableError with the server's own words
   */
  infer<M extends keyof Models & string, Output extends OutputName<Models[M]> = OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    options?: InferOptions<Output>,
  ): Promise<InferResult<ModelOutputs<Models[M], Output>>>;
  /**
   * Runs a model, and has the server pick the best classes of its outputs.
   *
   * @param classes - for each output that is to be given, how many
   */
  classify<M extends keyof Models & string, Output extends OutputName<Models[M]>>(
    model: M,
    inputs: ModelInputs<Models[M]>,
    classes: { readonly [Name in Output]: number },
    options?: Omit<InferOptions<Output>, "outputs">,
  ): Promise<InferResult<ClassifiedOutputs<Output>>>;
}
