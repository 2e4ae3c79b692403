/**
 * The configuration of a model in a Triton model repository: `model_config.proto` (package `inference`), field by field, in camelCase.
 * Every field may be left out, which means what proto3 says it does.
 */

import type { ModelOptimizationPolicy, NamedParameters } from "./optimization-config.ts";

/** A 64-bit integer: a number as far as numbers are exact, else a bigint. */
export type Int64 = number | bigint;

/** What the elements of a tensor are. */
export type TritonDataType =
  | "TYPE_INVALID"
  | "TYPE_BOOL"
  | "TYPE_UINT8"
  | "TYPE_UINT16"
  | "TYPE_UINT32"
  | "TYPE_UINT64"
  | "TYPE_INT8"
  | "TYPE_INT16"
  | "TYPE_INT32"
  | "TYPE_INT64"
  | "TYPE_FP16"
  | "TYPE_FP32"
  | "TYPE_FP64"
  | "TYPE_STRING"
  | "TYPE_BF16";

/** How an input's dimensions are laid out. */
export type TensorFormat = "FORMAT_NONE" | "FORMAT_NHWC" | "FORMAT_NCHW";

/** Another shape that the model itself wants or gives. */
export interface ModelTensorReshape {
  /** Without the batch's axis; as many elements as `dims` have. Empty for a scalar. */
  readonly shape?: readonly number[] | undefined;
}

/** One input; `dims` never contain the batch's axis. */
export interface ModelInput {
  /** As the model calls it. */
  readonly name?: string | undefined;
  /** What its elements are. */
  readonly dataType?: TritonDataType | undefined;
  /** How an image is laid out. @default "FORMAT_NONE" */
  readonly format?: TensorFormat | undefined;
  /** -1 where any length will do. */
  readonly dims?: readonly number[] | undefined;
  /** The shape that the model gets instead of `dims`. */
  readonly reshape?: ModelTensorReshape | undefined;
  /** Its values are a shape (TensorRT). @default false */
  readonly isShapeTensor?: boolean | undefined;
  /** Requests in one batch may differ in its shape. @default false */
  readonly allowRaggedBatch?: boolean | undefined;
  /** A request may leave it out. @default false */
  readonly optional?: boolean | undefined;
  /** It is in a format of TensorRT's own. @default false */
  readonly isNonLinearFormatIo?: boolean | undefined;
}

/** One output; `dims` never contain the batch's axis. */
export interface ModelOutput {
  /** As the model calls it. */
  readonly name?: string | undefined;
  /** What its elements are. */
  readonly dataType?: TritonDataType | undefined;
  /** -1 where any length may come. */
  readonly dims?: readonly number[] | undefined;
  /** The shape that the model gives instead of `dims`. */
  readonly reshape?: ModelTensorReshape | undefined;
  /** In the model's folder: one label a line. */
  readonly labelFilename?: string | undefined;
  /** Its values are a shape (TensorRT). @default false */
  readonly isShapeTensor?: boolean | undefined;
  /** It is in a format of TensorRT's own. @default false */
  readonly isNonLinearFormatIo?: boolean | undefined;
}

/** How many instances of a model run, and where. */
export interface ModelInstanceGroup {
  /** @default made of the model's name and the group's place */
  readonly name?: string | undefined;
  /** Instances; for GPUs, of each one. @default 1 */
  readonly count?: number | undefined;
  /** Which GPUs, from 0 on. @default all */
  readonly gpus?: readonly number[] | undefined;
  /** Where they run. @default "KIND_AUTO" */
  readonly kind?: "KIND_AUTO" | "KIND_GPU" | "KIND_CPU" | "KIND_MODEL" | undefined;
  /** Profiles of TensorRT, in order. */
  readonly profile?: readonly string[] | undefined;
  /** What each instance needs before it runs. */
  readonly rateLimiter?: ModelRateLimiter | undefined;
  /** It is loaded, and no request goes to it. @default false */
  readonly passive?: boolean | undefined;
  /** Devices that help. */
  readonly secondaryDevices?: readonly { readonly kind?: "KIND_NVDLA" | undefined; readonly deviceId?: Int64 | undefined }[] | undefined;
  /** The name of settings for the part of the machine it runs on. */
  readonly hostPolicy?: string | undefined;
}

/** What an instance needs before it may run. */
export interface ModelRateLimiter {
  /** What it takes while it runs, which others then can't have: `count` of `name`; `global` ones are one pool for all devices. */
  readonly resources?:
    | readonly { readonly name?: string | undefined; readonly global?: boolean | undefined; readonly count?: number | undefined }[]
    | undefined;
  /** How often it gets its turn: one of 2 gets half as many as one of 1. @default 1 */
  readonly priority?: number | undefined;
}

/** Which versions are served: one of the three. */
export interface ModelVersionPolicy {
  /** The highest numbers; one, where `numVersions` is not given. */
  readonly latest?: { readonly numVersions?: number | undefined } | undefined;
  /** Whatever is there. */
  readonly all?: Readonly<Record<string, never>> | undefined;
  /** The ones that are named, where they are there. */
  readonly specific?: { readonly versions?: readonly Int64[] | undefined } | undefined;
}

/** What happens to requests in a queue. */
export interface ModelQueuePolicy {
  /** What becomes of a request that has waited too long: it fails, or it goes behind all others. @default "REJECT" */
  readonly timeoutAction?: "REJECT" | "DELAY" | undefined;
  /** How long a request may wait; 0 for ever. @default 0 */
  readonly defaultTimeoutMicroseconds?: Int64 | undefined;
  /** Whether a request may ask for a shorter wait. @default false */
  readonly allowTimeoutOverride?: boolean | undefined;
  /** 0 for no limit. */
  readonly maxQueueSize?: number | undefined;
}

/** How requests are put together. */
export interface ModelDynamicBatching {
  /** A batch leaves at once when it has one of these sizes. */
  readonly preferredBatchSize?: readonly number[] | undefined;
  /** How long a request may wait for others. @default 0 */
  readonly maxQueueDelayMicroseconds?: Int64 | undefined;
  /** Answers in the order of the requests. @default false */
  readonly preserveOrdering?: boolean | undefined;
  /** How many there are; 1 is the highest. @default 0, none */
  readonly priorityLevels?: Int64 | undefined;
  /** Of a request that names none. */
  readonly defaultPriorityLevel?: Int64 | undefined;
  /** Of every level without its own. */
  readonly defaultQueuePolicy?: ModelQueuePolicy | undefined;
  /** By level, in decimal. */
  readonly priorityQueuePolicy?: Readonly<Record<string, ModelQueuePolicy>> | undefined;
}

/** One control of a sequence that the model gets as an input. */
export interface ModelSequenceControl {
  /** What it tells. */
  readonly kind?: "CONTROL_SEQUENCE_START" | "CONTROL_SEQUENCE_READY" | "CONTROL_SEQUENCE_END" | "CONTROL_SEQUENCE_CORRID" | undefined;
  /** The values for no and yes, where it is INT32. */
  readonly int32FalseTrue?: readonly number[] | undefined;
  /** The values for no and yes, where it is FP32. */
  readonly fp32FalseTrue?: readonly number[] | undefined;
  /** The values for no and yes, where it is BOOL. */
  readonly boolFalseTrue?: readonly boolean[] | undefined;
  /** Of the sequence's id. */
  readonly dataType?: TritonDataType | undefined;
}

/** A state that is kept between the requests of a sequence. */
export interface ModelSequenceState {
  /** The input that gets it. */
  readonly inputName?: string | undefined;
  /** The output that gives the next one. */
  readonly outputName?: string | undefined;
  /** What its elements are. */
  readonly dataType?: TritonDataType | undefined;
  /** Without the batch's axis. */
  readonly dims?: readonly number[] | undefined;
  /** What a sequence begins with. */
  readonly initialState?:
    | readonly {
        /** What its elements are. */
        readonly dataType?: TritonDataType | undefined;
        /** Without the batch's axis. */
        readonly dims?: readonly number[] | undefined;
        /** Zeros, or empty texts. */
        readonly zeroData?: boolean | undefined;
        /** A file in the model's `initial_state` folder. */
        readonly dataFile?: string | undefined;
        /** Of this beginning. */
        readonly name?: string | undefined;
      }[]
    | undefined;
  /** The model writes the new state over the old one. @default false */
  readonly useSameBufferForInputOutput?: boolean | undefined;
  /** Its memory grows as it does. @default false */
  readonly useGrowableMemory?: boolean | undefined;
}

/** How requests of sequences are put together; `direct` or `oldest`. */
export interface ModelSequenceBatching {
  /** Each sequence keeps one place in the batches of one instance. */
  readonly direct?:
    { readonly maxQueueDelayMicroseconds?: Int64 | undefined; readonly minimumSlotUtilization?: number | undefined } | undefined;
  /** Requests of different sequences are put together as dynamic batching does. */
  readonly oldest?:
    | {
        /** How many sequences are under way at a time, for each instance. */
        readonly maxCandidateSequences?: number | undefined;
        /** A batch leaves at once when it has one of these sizes. */
        readonly preferredBatchSize?: readonly number[] | undefined;
        /** How long a request may wait for others. @default 0 */
        readonly maxQueueDelayMicroseconds?: Int64 | undefined;
        /** Answers in the order of the requests. @default false */
        readonly preserveOrdering?: boolean | undefined;
      }
    | undefined;
  /** A sequence ends when nothing comes for it for so long. @default 1000000 */
  readonly maxSequenceIdleMicroseconds?: Int64 | undefined;
  /** Inputs that the server makes. */
  readonly controlInput?:
    readonly { readonly name?: string | undefined; readonly control?: readonly ModelSequenceControl[] | undefined }[] | undefined;
  /** What the server keeps between requests. */
  readonly state?: readonly ModelSequenceState[] | undefined;
  /** The model may hand a request back, to be run again. @default false */
  readonly iterativeSequence?: boolean | undefined;
}

/** One step of an ensemble. Maps go from the step's model's tensor to the ensemble's. */
export interface ModelEnsemblingStep {
  /** The model that it runs. */
  readonly modelName?: string | undefined;
  /** -1 for the newest. */
  readonly modelVersion?: Int64 | undefined;
  /** Key: the model's input. Value: the ensemble's tensor. */
  readonly inputMap?: Readonly<Record<string, string>> | undefined;
  /** Key: the model's output. Value: the ensemble's tensor. */
  readonly outputMap?: Readonly<Record<string, string>> | undefined;
  /** The repository that the model is from. */
  readonly modelNamespace?: string | undefined;
}

/** A graph of models. */
export interface ModelEnsembling {
  /** In any order: what a step reads decides when it runs. */
  readonly step?: readonly ModelEnsemblingStep[] | undefined;
  /** For one request, how many may be in flight at each step. @default 0, any number */
  readonly maxInflightRequests?: number | undefined;
}

/** One input of a warm-up request: one of the three kinds of data. */
export interface ModelWarmupInput {
  /** What its elements are. */
  readonly dataType?: TritonDataType | undefined;
  /** Without the batch's axis. */
  readonly dims?: readonly number[] | undefined;
  /** Zeros, or empty texts. */
  readonly zeroData?: boolean | undefined;
  /** Random values. */
  readonly randomData?: boolean | undefined;
  /** A file in the model's `warmup` folder. */
  readonly inputDataFile?: string | undefined;
}

/** A request that is run before the model is ready. */
export interface ModelWarmup {
  /** For the log. */
  readonly name?: string | undefined;
  /** Rows of the request; 0 for a sample that is left out. */
  readonly batchSize?: number | undefined;
  /** By the input's name. */
  readonly inputs?: Readonly<Record<string, ModelWarmupInput>> | undefined;
  /** How often it is run; 0 is once, too. */
  readonly count?: number | undefined;
}

/** An input that the server makes of a whole batch. */
export interface BatchInput {
  /** What it is made of. */
  readonly kind?:
    | "BATCH_ELEMENT_COUNT"
    | "BATCH_ACCUMULATED_ELEMENT_COUNT"
    | "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
    | "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
    | "BATCH_ITEM_SHAPE"
    | "BATCH_ITEM_SHAPE_FLATTEN"
    | undefined;
  /** The model's inputs that get it. */
  readonly targetName?: readonly string[] | undefined;
  /** `TYPE_INT32` or `TYPE_FP32`. */
  readonly dataType?: TritonDataType | undefined;
  /** The one input that it is made of. */
  readonly sourceInput?: readonly string[] | undefined;
}

/** How an output is taken apart again. */
export interface BatchOutput {
  /** The model's outputs. */
  readonly targetName?: readonly string[] | undefined;
  /** How. */
  readonly kind?: "BATCH_SCATTER_WITH_INPUT_SHAPE" | undefined;
  /** The input whose shapes say where each request's part ends. */
  readonly sourceInput?: readonly string[] | undefined;
}

/** The whole of a model's configuration. Of `dynamicBatching`, `sequenceBatching` and `ensembleScheduling` there is at most one. */
export interface ModelConfig {
  /** The name of the model's folder, which it is where none is given. */
  readonly name?: string | undefined;
  /** What the file is, such as `onnxruntime_onnx`; for an ensemble, `ensemble`. */
  readonly platform?: string | undefined;
  /** What runs it, such as `onnxruntime`, `python`, `pytorch`. */
  readonly backend?: string | undefined;
  /** The file of the backend that runs it, where there are several. */
  readonly runtime?: string | undefined;
  /** Which versions are served. @default the newest one */
  readonly versionPolicy?: ModelVersionPolicy | undefined;
  /** 0 for a model that knows no batches. */
  readonly maxBatchSize?: number | undefined;
  /** What it takes. */
  readonly input?: readonly ModelInput[] | undefined;
  /** What it gives. */
  readonly output?: readonly ModelOutput[] | undefined;
  /** Inputs that the server makes of a whole batch. */
  readonly batchInput?: readonly BatchInput[] | undefined;
  /** How outputs of a whole batch are taken apart. */
  readonly batchOutput?: readonly BatchOutput[] | undefined;
  /** What the backend may do to be faster. */
  readonly optimization?: ModelOptimizationPolicy | undefined;
  /** Requests are put together; `{}` as Triton does by default. */
  readonly dynamicBatching?: ModelDynamicBatching | undefined;
  /** Requests belong to sequences, which have a state. */
  readonly sequenceBatching?: ModelSequenceBatching | undefined;
  /** The models that it is made of. */
  readonly ensembleScheduling?: ModelEnsembling | undefined;
  /** How many instances run, and where. @default one */
  readonly instanceGroup?: readonly ModelInstanceGroup[] | undefined;
  /** In the folder of a version. @default the backend's, such as `model.onnx` */
  readonly defaultModelFilename?: string | undefined;
  /** Other files for GPUs of a compute capability, by it. */
  readonly ccModelFilenames?: Readonly<Record<string, string>> | undefined;
  /** Labels of the model's metrics. */
  readonly metricTags?: Readonly<Record<string, string>> | undefined;
  /** What the backend takes, such as `intra_op_thread_count`. */
  readonly parameters?: Readonly<Record<string, { readonly stringValue?: string | undefined }>> | undefined;
  /** Requests that are run before it is ready. */
  readonly modelWarmup?: readonly ModelWarmup[] | undefined;
  /** Operations that the model needs. */
  readonly modelOperations?: { readonly opLibraryFilename?: readonly string[] | undefined } | undefined;
  /** How requests and responses belong together. */
  readonly modelTransactionPolicy?: { readonly decoupled?: boolean | undefined } | undefined;
  /** What is done to the model before it is loaded. */
  readonly modelRepositoryAgents?: { readonly agents?: readonly NamedParameters[] | undefined } | undefined;
  /** Whether answers are kept. */
  readonly responseCache?: { readonly enable?: boolean | undefined } | undefined;
  /** How its metrics are made. */
  readonly modelMetrics?:
    | {
        /** For each metric. */
        readonly metricControl?:
          | readonly {
              /** Which one. */
              readonly metricIdentifier?: { readonly family?: string | undefined } | undefined;
              /** How a histogram is made. */
              readonly histogramOptions?: { readonly buckets?: readonly number[] | undefined } | undefined;
            }[]
          | undefined;
      }
    | undefined;
}
