import type { ServableError } from "../errors.ts";
import type { InferRequest, InferResponse } from "../protocol/inference.ts";
import type { ModelMetadata, ModelStatistics, RepositoryIndexEntry, ServerMetadata } from "../protocol/model-info.ts";
import type { ModelConfig } from "../triton/model-config.ts";

/** What a front knows of a request before its body. */
export interface InferCaller {
  /** For logs; the protocol's own `id` is in the body. */
  readonly requestId?: string | undefined;
  /** Asks for a shorter deadline than the server's own. */
  readonly timeoutMs?: number | undefined;
  /** Read when a model asks for it. */
  readonly metadata?: (() => Readonly<Record<string, string>>) | undefined;
}

/**
 * One admitted request, whose place is taken from before its body is read until its answer is there. Its holder calls `infer` or
 * `stream` once, or `fail`.
 */
export interface InferAdmission {
  /** Told once when it fails before or while it runs (its deadline, a stop of the server): a front uses it to stop reading a body. */
  onFail: ((error: ServableError) => void) | undefined;
  /** @throws InferenceError, or a ServableError, of which `statusOf` tells the status */
  infer(request: InferRequest): Promise<InferResponse>;
  /** As `infer`, of models that give any number of responses; of others, one. Ending the iteration cancels the rest. */
  stream(request: InferRequest): AsyncIterable<InferResponse>;
  /** The client went away. */
  cancel(): void;
  /** The request could not be read. */
  fail(error: ServableError): void;
}

/** One version of a model that is ready. */
export interface ServedModel {
  readonly name: string;
  readonly version: string;
  /** With every default filled in. */
  readonly config: ModelConfig;
  /** @throws InferenceError `UNAVAILABLE` where it is at its limit */
  admit(caller: InferCaller): InferAdmission;
}

/** Parameters of a load: a configuration instead of the repository's (JSON text), and files by their path in the model's folder. */
export interface LoadOverrides {
  readonly config?: string | undefined;
  readonly files?: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Values of a settings route, by name. */
export type Settings = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/**
 * A model server as its fronts see it, one data plane behind HTTP and gRPC. Everything throws InferenceErrors with the texts
 * that clients of Triton know. Versions are texts as the wires carry them, empty for the newest that is ready.
 */
export interface ModelPlane {
  readonly serverMetadata: ServerMetadata;
  /** Whether the process serves at all. */
  live(): boolean;
  /** Whether every model that should be is ready; see `--strict-readiness`. */
  ready(): boolean;
  /** Whether a version is ready. @throws InferenceError `NOT_FOUND` for a model that is unknown */
  modelReady(name: string, version: string): boolean;
  /** @throws InferenceError `NOT_FOUND`, `UNAVAILABLE` or `INVALID_ARG` */
  model(name: string, version: string): ServedModel;
  /** Names, types and shapes of its tensors. @throws InferenceError as `model` */
  modelMetadata(name: string, version: string): ModelMetadata;
  /** An empty name asks for all models, an empty version for all versions. */
  statistics(name: string, version: string): readonly ModelStatistics[];
  /**
   * All models of the repositories, those that were never loaded included.
   *
   * @param repository - empty for all; a name is `UNSUPPORTED`
   */
  index(repository: string, onlyReady: boolean): Promise<readonly RepositoryIndexEntry[]>;
  /** Resolves when it is loaded. */
  load(repository: string, name: string, overrides: LoadOverrides): Promise<void>;
  /** Resolves when it has begun. */
  unload(repository: string, name: string, unloadDependents: boolean): Promise<void>;
  /** The settings of tracing, of the server or of one model; `changes` of which null values are put back. */
  traceSettings(model: string, changes?: Readonly<Record<string, readonly string[] | null>>): Settings;
  /** The settings of the log, after `changes` where there are some. */
  logSettings(changes?: Readonly<Record<string, string | number | boolean>>): Settings;
}
