import type { InferenceSession } from "onnxruntime-node";
import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";

/** Hardware that onnxruntime can run a model on. Which of them are there depends on the build and the machine. */
export type OnnxExecutionProvider = "cpu" | "cuda" | "tensorrt" | "webgpu" | "coreml" | "dml";

/** An execution provider with its settings. */
export interface OnnxExecutionProviderOptions {
  readonly name: OnnxExecutionProvider;
  /** Which GPU, from 0; for `cuda`, `tensorrt` and `dml`. @default 0 */
  readonly deviceId?: number | undefined;
}

/** How an ONNX model is loaded and run. */
export interface OnnxModelOptions {
  /** Names the model in messages, logs and metrics. @default the file's name without `.onnx`; of bytes, "model" */
  readonly name?: string | undefined;
  /** Threads that work on one operator. More than one pays only on cores that nothing else wants. @default 1 */
  readonly intraOpThreads?: number | undefined;
  /** Threads that work on different operators of one run; from 2 on, operators run in parallel. @default 1 */
  readonly interOpThreads?: number | undefined;
  /** Where to run, in order of preference; the CPU takes what the others can't. @default ["cpu"] */
  readonly executionProviders?: readonly (OnnxExecutionProvider | OnnxExecutionProviderOptions)[] | undefined;
  /** How much of the graph is rewritten before the first run. @default "all" */
  readonly graphOptimization?: "disabled" | "basic" | "extended" | "all" | undefined;
  /** Anything else that onnxruntime's session takes. What is set here wins over the options above. */
  readonly sessionOptions?: Readonly<InferenceSession.SessionOptions> | undefined;
}

/** {@link OnnxModelOptions} with every default filled in. */
export interface ResolvedOnnxOptions {
  readonly name: string;
  readonly executionProviders: readonly OnnxExecutionProviderOptions[];
  /** What onnxruntime's session is created with. */
  readonly session: InferenceSession.SessionOptions;
}

// onnxruntime's highest severity: only what ends the process. What fails is thrown, and so reaches the log by way of the service.
const fatalOnly = 4;

const keys = {
  name: true,
  intraOpThreads: true,
  interOpThreads: true,
  executionProviders: true,
  graphOptimization: true,
  sessionOptions: true,
} satisfies KeysOf<OnnxModelOptions>;

const providerKeys = { name: true, deviceId: true } satisfies KeysOf<OnnxExecutionProviderOptions>;

/**
 * Fills in the defaults.
 *
 * @throws ServableError `invalid_config` for an option that there is not, when a thread count is not a whole number from 1, or there is no execution provider
 */
export function resolveOnnxOptions(options: OnnxModelOptions, defaultName: string): ResolvedOnnxOptions {
  const name = options.name ?? defaultName;
  refuseUnknownKeys(options, keys, `The model '${name}'`);
  const providers = (options.executionProviders ?? ["cpu"]).map((provider, index) => {
    if (typeof provider === "string") return { name: provider };
    refuseUnknownKeys(provider, providerKeys, `The model '${name}'`, `executionProviders[${index}]`);
    return provider;
  });
  if (providers.length === 0)
    throw new ServableError("invalid_config", `The model '${name}' has an empty list of executionProviders. Leave it out for the CPU.`);
  const interOpThreads = threads(name, "interOpThreads", options.interOpThreads);
  const session: InferenceSession.SessionOptions = {
    executionProviders: providers.map(({ name: provider, deviceId }) => (deviceId === undefined ? provider : { name: provider, deviceId })),
    intraOpNumThreads: threads(name, "intraOpThreads", options.intraOpThreads),
    interOpNumThreads: interOpThreads,
    executionMode: interOpThreads > 1 ? "parallel" : "sequential",
    graphOptimizationLevel: options.graphOptimization ?? "all",
    logSeverityLevel: fatalOnly,
  };
  const others: Readonly<Record<string, unknown>> = { ...options.sessionOptions };
  for (const [key, value] of Object.entries(others)) if (value !== undefined) Object.assign(session, { [key]: value });
  return Object.freeze({ name, executionProviders: providers, session });
}

function threads(model: string, option: string, value = 1): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new ServableError("invalid_config", `${option} of the model '${model}' must be a whole number from 1; it is ${value}.`);
}
