/**
 * The configuration of a model in a Triton model repository: `model_config.proto` (package `inference`), field by field, in camelCase.
 * Every field may be left out, which means what proto3 says it does.
 */

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
  readonly shape?: readonly number[] | undefined;
}

/** One input; `dims` never contain the batch's axis. */
export interface ModelInput {
  readonly name?: string | undefined;
  readonly dataType?: TritonDataType | undefined;
  readonly format?: TensorFormat | undefined;
  /** -1 where any length will do. */
  readonly dims?: readonly number[] | undefined;
  readonly reshape?: ModelTensorReshape | undefined;
  readonly isShapeTensor?: boolean | undefined;
  readonly allowRaggedBatch?: boolean | undefined;
  readonly optional?: boolean | undefined;
  readonly isNonLinearFormatIo?: boolean | undefined;
}

/** One output; `dims` never contain the batch's axis. */
export interface ModelOutput {
  readonly name?: string | undefined;
  readonly dataType?: TritonDataType | undefined;
  readonly dims?: readonly number[] | undefined;
  readonly reshape?: ModelTensorReshape | undefined;
  /** In the model's folder: one label a line. */
  readonly labelFilename?: string | undefined;
  readonly isShapeTensor?: boolean | undefined;
  readonly isNonLinearFormatIo?: boolean | undefined;
}

/** How many instances of a model run, and where. */
export interface ModelInstanceGroup {
  readonly name?: string | undefined;
  readonly count?: number | undefined;
  readonly gpus?: readonly number[] | undefined;
  readonly kind?: "KIND_AUTO" | "KIND_GPU" | "KIND_CPU" | "KIND_MODEL" | undefined;
  readonly profile?: readonly string[] | undefined;
  readonly rateLimiter?: ModelRateLimiter | undefined;
  readonly passive?: boolean | undefined;
  readonly secondaryDevices?: readonly { readonly kind?: "KIND_NVDLA" | undefined; readonly deviceId?: Int64 | undefined }[] | undefined;
  readonly hostPolicy?: string | undefined;
}

/** What an instance needs before it may run. */
export interface ModelRateLimiter {
  readonly resources?:
    | readonly { readonly name?: string | undefined; readonly global?: boolean | undefined; readonly count?: number | undefined }[]
    | undefined;
  readonly priority?: number | undefined;
}

/** Which versions are served: one of the three. */
export interface ModelVersionPolicy {
  readonly latest?: { readonly numVersions?: number | undefined } | undefined;
  readonly all?: Readonly<Record<string, never>> | undefined;
  readonly specific?: { readonly versions?: readonly Int64[] | undefined } | undefined;
}

/** What happens to requests in a queue. */
export interface ModelQueuePolicy {
  readonly timeoutAction?: "REJECT" | "DELAY" | undefined;
  readonly defaultTimeoutMicroseconds?: Int64 | undefined;
  readonly allowTimeoutOverride?: boolean | undefined;
  /** 0 for no limit. */
  readonly maxQueueSize?: number | undefined;
}

/** How requests are put together. */
export interface ModelDynamicBatching {
  readonly preferredBatchSize?: readonly number[] | undefined;
  readonly maxQueueDelayMicroseconds?: Int64 | undefined;
  readonly preserveOrdering?: boolean | undefined;
  readonly priorityLevels?: Int64 | undefined;
  readonly defaultPriorityLevel?: Int64 | undefined;
  readonly defaultQueuePolicy?: ModelQueuePolicy | undefined;
  /** By level, in decimal. */
  readonly priorityQueuePolicy?: Readonly<Record<string, ModelQueuePolicy>> | undefined;
}

/** One control of a sequence that the model gets as an input. */
export interface ModelSequenceControl {
  readonly kind?: "CONTROL_SEQUENCE_START" | "CONTROL_SEQUENCE_READY" | "CONTROL_SEQUENCE_END" | "CONTROL_SEQUENCE_CORRID" | undefined;
  readonly int32FalseTrue?: readonly number[] | undefined;
  readonly fp32FalseTrue?: readonly number[] | undefined;
  readonly boolFalseTrue?: readonly boolean[] | undefined;
  readonly dataType?: TritonDataType | undefined;
}

/** A state that is kept between the requests of a sequence. */
export interface ModelSequenceState {
  readonly inputName?: string | undefined;
  readonly outputName?: string | undefined;
  readonly dataType?: TritonDataType | undefined;
  readonly dims?: readonly number[] | undefined;
  readonly initialState?:
    | readonly {
        readonly dataType?: TritonDataType | undefined;
        readonly dims?: readonly number[] | undefined;
        readonly zeroData?: boolean | undefined;
        readonly dataFile?: string | undefined;
        readonly name?: string | undefined;
      }[]
    | undefined;
  readonly useSameBufferForInputOutput?: boolean | undefined;
  readonly useGrowableMemory?: boolean | undefined;
}

/** How requests of sequences are put together; `direct` or `oldest`. */
export interface ModelSequenceBatching {
  readonly direct?:
    { readonly maxQueueDelayMicroseconds?: Int64 | undefined; readonly minimumSlotUtilization?: number | undefined } | undefined;
  readonly oldest?:
    | {
        readonly maxCandidateSequences?: number | undefined;
        readonly preferredBatchSize?: readonly number[] | undefined;
        readonly maxQueueDelayMicroseconds?: Int64 | undefined;
        readonly preserveOrdering?: boolean | undefined;
      }
    | undefined;
  readonly maxSequenceIdleMicroseconds?: Int64 | undefined;
  readonly controlInput?:
    readonly { readonly name?: string | undefined; readonly control?: readonly ModelSequenceControl[] | undefined }[] | undefined;
  readonly state?: readonly ModelSequenceState[] | undefined;
  readonly iterativeSequence?: boolean | undefined;
}

/** One step of an ensemble. Maps go from the step's model's tensor to the ensemble's. */
export interface ModelEnsemblingStep {
  readonly modelName?: string | undefined;
  /** -1 for the newest. */
  readonly modelVersion?: Int64 | undefined;
  readonly inputMap?: Readonly<Record<string, string>> | undefined;
  readonly outputMap?: Readonly<Record<string, string>> | undefined;
  readonly modelNamespace?: string | undefined;
}

/** A graph of models. */
export interface ModelEnsembling {
  readonly step?: readonly ModelEnsemblingStep[] | undefined;
  readonly maxInflightRequests?: number | undefined;
}

/** One input of a warm-up request: one of the three kinds of data. */
export interface ModelWarmupInput {
  readonly dataType?: TritonDataType | undefined;
  readonly dims?: readonly number[] | undefined;
  readonly zeroData?: boolean | undefined;
  readonly randomData?: boolean | undefined;
  readonly inputDataFile?: string | undefined;
}

/** A request that is run before the model is ready. */
export interface ModelWarmup {
  readonly name?: string | undefined;
  readonly batchSize?: number | undefined;
  readonly inputs?: Readonly<Record<string, ModelWarmupInput>> | undefined;
  readonly count?: number | undefined;
}

/** An input that the server makes of a whole batch. */
export interface BatchInput {
  readonly kind?:
    | "BATCH_ELEMENT_COUNT"
    | "BATCH_ACCUMULATED_ELEMENT_COUNT"
    | "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
    | "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
    | "BATCH_ITEM_SHAPE"
    | "BATCH_ITEM_SHAPE_FLATTEN"
    | undefined;
  readonly targetName?: readonly string[] | undefined;
  readonly dataType?: TritonDataType | undefined;
  readonly sourceInput?: readonly string[] | undefined;
}

/** How an output is taken apart again. */
export interface BatchOutput {
  readonly targetName?: readonly string[] | undefined;
  readonly kind?: "BATCH_SCATTER_WITH_INPUT_SHAPE" | undefined;
  readonly sourceInput?: readonly string[] | undefined;
}

/** A name with texts. */
export interface NamedParameters {
  readonly name?: string | undefined;
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}

/** How a CUDA graph is shaped. */
export interface CudaGraphSpec {
  readonly batchSize?: number | undefined;
  readonly input?: Readonly<Record<string, { readonly dim?: readonly number[] | undefined }>> | undefined;
  readonly graphLowerBound?:
    | {
        readonly batchSize?: number | undefined;
        readonly input?: Readonly<Record<string, { readonly dim?: readonly number[] | undefined }>> | undefined;
      }
    | undefined;
}

/** What a backend may do to be faster. */
export interface ModelOptimizationPolicy {
  readonly graph?: { readonly level?: number | undefined } | undefined;
  readonly priority?: "PRIORITY_DEFAULT" | "PRIORITY_MAX" | "PRIORITY_MIN" | undefined;
  readonly cuda?:
    | {
        readonly graphs?: boolean | undefined;
        readonly busyWaitEvents?: boolean | undefined;
        readonly graphSpec?: readonly CudaGraphSpec[] | undefined;
        readonly outputCopyStream?: boolean | undefined;
      }
    | undefined;
  readonly executionAccelerators?:
    | {
        readonly gpuExecutionAccelerator?: readonly NamedParameters[] | undefined;
        readonly cpuExecutionAccelerator?: readonly NamedParameters[] | undefined;
      }
    | undefined;
  readonly inputPinnedMemory?: { readonly enable?: boolean | undefined } | undefined;
  readonly outputPinnedMemory?: { readonly enable?: boolean | undefined } | undefined;
  readonly gatherKernelBufferThreshold?: number | undefined;
  readonly eagerBatching?: boolean | undefined;
}

/** The whole of a model's configuration. Of `dynamicBatching`, `sequenceBatching` and `ensembleScheduling` there is at most one. */
export interface ModelConfig {
  readonly name?: string | undefined;
  readonly platform?: string | undefined;
  readonly backend?: string | undefined;
  readonly runtime?: string | undefined;
  readonly versionPolicy?: ModelVersionPolicy | undefined;
  /** 0 for a model that knows no batches. */
  readonly maxBatchSize?: number | undefined;
  readonly input?: readonly ModelInput[] | undefined;
  readonly output?: readonly ModelOutput[] | undefined;
  readonly batchInput?: readonly BatchInput[] | undefined;
  readonly batchOutput?: readonly BatchOutput[] | undefined;
  readonly optimization?: ModelOptimizationPolicy | undefined;
  readonly dynamicBatching?: ModelDynamicBatching | undefined;
  readonly sequenceBatching?: ModelSequenceBatching | undefined;
  readonly ensembleScheduling?: ModelEnsembling | undefined;
  readonly instanceGroup?: readonly ModelInstanceGroup[] | undefined;
  readonly defaultModelFilename?: string | undefined;
  readonly ccModelFilenames?: Readonly<Record<string, string>> | undefined;
  readonly metricTags?: Readonly<Record<string, string>> | undefined;
  readonly parameters?: Readonly<Record<string, { readonly stringValue?: string | undefined }>> | undefined;
  readonly modelWarmup?: readonly ModelWarmup[] | undefined;
  readonly modelOperations?: { readonly opLibraryFilename?: readonly string[] | undefined } | undefined;
  readonly modelTransactionPolicy?: { readonly decoupled?: boolean | undefined } | undefined;
  readonly modelRepositoryAgents?: { readonly agents?: readonly NamedParameters[] | undefined } | undefined;
  readonly responseCache?: { readonly enable?: boolean | undefined } | undefined;
  readonly modelMetrics?:
    | {
        readonly metricControl?:
          | readonly {
              readonly metricIdentifier?: { readonly family?: string | undefined } | undefined;
              readonly histogramOptions?: { readonly buckets?: readonly number[] | undefined } | undefined;
            }[]
          | undefined;
      }
    | undefined;
}
