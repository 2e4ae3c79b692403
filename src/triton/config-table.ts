/**
 * `model_config.proto` as one table, in the order of the file. Text, JSON and messages are read and written by it; `message` holds every
 * line to the types of `model-config.ts` and `optimization-config.ts`.
 */
import { many, mapOf, message, one, type EnumType, type MessageType } from "./fields.ts";
import type {
  BatchInput,
  BatchOutput,
  ModelConfig,
  ModelDynamicBatching,
  ModelEnsembling,
  ModelEnsemblingStep,
  ModelInput,
  ModelInstanceGroup,
  ModelOutput,
  ModelQueuePolicy,
  ModelRateLimiter,
  ModelSequenceBatching,
  ModelSequenceControl,
  ModelSequenceState,
  ModelTensorReshape,
  ModelVersionPolicy,
  ModelWarmup,
  ModelWarmupInput,
  TensorFormat,
  TritonDataType,
} from "./model-config.ts";
import type { CudaGraphSpec, ModelOptimizationPolicy, NamedParameters } from "./optimization-config.ts";

/** What a list or an optional member holds. */
type Item<T> = Exclude<T, undefined> extends readonly (infer E)[] ? E : Exclude<T, undefined>;

const dataType: EnumType<TritonDataType> = {
  values: {
    TYPE_INVALID: 0,
    TYPE_BOOL: 1,
    TYPE_UINT8: 2,
    TYPE_UINT16: 3,
    TYPE_UINT32: 4,
    TYPE_UINT64: 5,
    TYPE_INT8: 6,
    TYPE_INT16: 7,
    TYPE_INT32: 8,
    TYPE_INT64: 9,
    TYPE_FP16: 10,
    TYPE_FP32: 11,
    TYPE_FP64: 12,
    TYPE_STRING: 13,
    TYPE_BF16: 14,
  },
};

const format: EnumType<TensorFormat> = { values: { FORMAT_NONE: 0, FORMAT_NHWC: 1, FORMAT_NCHW: 2 } };

const instanceKind: EnumType<Item<ModelInstanceGroup["kind"]>> = { values: { KIND_AUTO: 0, KIND_GPU: 1, KIND_CPU: 2, KIND_MODEL: 3 } };

const secondaryKind: EnumType<"KIND_NVDLA"> = { values: { KIND_NVDLA: 0 } };

const priority: EnumType<Item<ModelOptimizationPolicy["priority"]>> = {
  values: { PRIORITY_DEFAULT: 0, PRIORITY_MAX: 1, PRIORITY_MIN: 2 },
};

const timeoutAction: EnumType<Item<ModelQueuePolicy["timeoutAction"]>> = { values: { REJECT: 0, DELAY: 1 } };

const controlKind: EnumType<Item<ModelSequenceControl["kind"]>> = {
  values: { CONTROL_SEQUENCE_START: 0, CONTROL_SEQUENCE_READY: 1, CONTROL_SEQUENCE_END: 2, CONTROL_SEQUENCE_CORRID: 3 },
};

const batchInputKind: EnumType<Item<BatchInput["kind"]>> = {
  values: {
    BATCH_ELEMENT_COUNT: 0,
    BATCH_ACCUMULATED_ELEMENT_COUNT: 1,
    BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO: 2,
    BATCH_MAX_ELEMENT_COUNT_AS_SHAPE: 3,
    BATCH_ITEM_SHAPE: 4,
    BATCH_ITEM_SHAPE_FLATTEN: 5,
  },
};

const batchOutputKind: EnumType<Item<BatchOutput["kind"]>> = { values: { BATCH_SCATTER_WITH_INPUT_SHAPE: 0 } };

const rateLimiter: MessageType<ModelRateLimiter> = message("ModelRateLimiter", {
  resources: many(
    1,
    message<Item<ModelRateLimiter["resources"]>>("ModelRateLimiter.Resource", {
      name: one(1, "string"),
      global: one(2, "bool"),
      count: one(3, "uint32"),
    }),
  ),
  priority: one(2, "uint32"),
});

const instanceGroup: MessageType<ModelInstanceGroup> = message("ModelInstanceGroup", {
  name: one(1, "string"),
  kind: one(4, instanceKind),
  count: one(2, "int32"),
  rateLimiter: one(6, rateLimiter),
  gpus: many(3, "int32"),
  secondaryDevices: many(
    8,
    message<Item<ModelInstanceGroup["secondaryDevices"]>>("ModelInstanceGroup.SecondaryDevice", {
      kind: one(1, secondaryKind),
      deviceId: one(2, "int64"),
    }),
  ),
  profile: many(5, "string"),
  passive: one(7, "bool"),
  hostPolicy: one(9, "string"),
});

const reshape: MessageType<ModelTensorReshape> = message("ModelTensorReshape", { shape: many(1, "length") });

const input: MessageType<ModelInput> = message("ModelInput", {
  name: one(1, "string"),
  dataType: one(2, dataType),
  format: one(3, format),
  dims: many(4, "length"),
  reshape: one(5, reshape),
  isShapeTensor: one(6, "bool"),
  allowRaggedBatch: one(7, "bool"),
  optional: one(8, "bool"),
  isNonLinearFormatIo: one(9, "bool"),
});

const output: MessageType<ModelOutput> = message("ModelOutput", {
  name: one(1, "string"),
  dataType: one(2, dataType),
  dims: many(3, "length"),
  reshape: one(5, reshape),
  labelFilename: one(4, "string"),
  isShapeTensor: one(6, "bool"),
  isNonLinearFormatIo: one(7, "bool"),
});

const batchInput: MessageType<BatchInput> = message("BatchInput", {
  kind: one(1, batchInputKind),
  targetName: many(2, "string"),
  dataType: one(3, dataType),
  sourceInput: many(4, "string"),
});

const batchOutput: MessageType<BatchOutput> = message("BatchOutput", {
  targetName: many(1, "string"),
  kind: one(2, batchOutputKind),
  sourceInput: many(3, "string"),
});

const versionPolicy: MessageType<ModelVersionPolicy> = message("ModelVersionPolicy", {
  latest: one(
    1,
    message<Item<ModelVersionPolicy["latest"]>>("ModelVersionPolicy.Latest", { numVersions: one(1, "uint32") }),
    "policy_choice",
  ),
  all: one(2, message<Item<ModelVersionPolicy["all"]>>("ModelVersionPolicy.All", {}), "policy_choice"),
  specific: one(
    3,
    message<Item<ModelVersionPolicy["specific"]>>("ModelVersionPolicy.Specific", { versions: many(1, "int64") }),
    "policy_choice",
  ),
});

const namedParameters = (name: string): MessageType<NamedParameters> =>
  message(name, { name: one(1, "string"), parameters: mapOf(2, "string") });

type Cuda = Item<ModelOptimizationPolicy["cuda"]>;
type LowerBound = Item<CudaGraphSpec["graphLowerBound"]>;

const graphShape: MessageType<{ readonly dim?: readonly number[] | undefined }> = message("ModelOptimizationPolicy.Cuda.GraphSpec.Shape", {
  dim: many(1, "length"),
});

const graphSpec: MessageType<CudaGraphSpec> = message("ModelOptimizationPolicy.Cuda.GraphSpec", {
  batchSize: one(1, "int32"),
  input: mapOf(2, graphShape),
  graphLowerBound: one(
    3,
    message<LowerBound>("ModelOptimizationPolicy.Cuda.GraphSpec.LowerBound", { batchSize: one(1, "int32"), input: mapOf(2, graphShape) }),
  ),
});

type Accelerators = Item<ModelOptimizationPolicy["executionAccelerators"]>;
const accelerator: MessageType<NamedParameters> = namedParameters("ModelOptimizationPolicy.ExecutionAccelerators.Accelerator");
const pinnedMemory: MessageType<{ readonly enable?: boolean | undefined }> = message("ModelOptimizationPolicy.PinnedMemoryBuffer", {
  enable: one(1, "bool"),
});

const optimization: MessageType<ModelOptimizationPolicy> = message("ModelOptimizationPolicy", {
  graph: one(1, message<Item<ModelOptimizationPolicy["graph"]>>("ModelOptimizationPolicy.Graph", { level: one(1, "int32") })),
  priority: one(2, priority),
  cuda: one(
    3,
    message<Cuda>("ModelOptimizationPolicy.Cuda", {
      graphs: one(1, "bool"),
      busyWaitEvents: one(2, "bool"),
      graphSpec: many(3, graphSpec),
      outputCopyStream: one(4, "bool"),
    }),
  ),
  executionAccelerators: one(
    4,
    message<Accelerators>("ModelOptimizationPolicy.ExecutionAccelerators", {
      gpuExecutionAccelerator: many(1, accelerator),
      cpuExecutionAccelerator: many(2, accelerator),
    }),
  ),
  inputPinnedMemory: one(5, pinnedMemory),
  outputPinnedMemory: one(6, pinnedMemory),
  gatherKernelBufferThreshold: one(7, "uint32"),
  eagerBatching: one(8, "bool"),
});

const queuePolicy: MessageType<ModelQueuePolicy> = message("ModelQueuePolicy", {
  timeoutAction: one(1, timeoutAction),
  defaultTimeoutMicroseconds: one(2, "uint64"),
  allowTimeoutOverride: one(3, "bool"),
  maxQueueSize: one(4, "uint32"),
});

const dynamicBatching: MessageType<ModelDynamicBatching> = message("ModelDynamicBatching", {
  preferredBatchSize: many(1, "int32"),
  maxQueueDelayMicroseconds: one(2, "uint64"),
  preserveOrdering: one(3, "bool"),
  priorityLevels: one(4, "uint64"),
  defaultPriorityLevel: one(5, "uint64"),
  defaultQueuePolicy: one(6, queuePolicy),
  priorityQueuePolicy: mapOf(7, queuePolicy, "uint64"),
});

const control: MessageType<ModelSequenceControl> = message("ModelSequenceBatching.Control", {
  kind: one(1, controlKind),
  int32FalseTrue: many(2, "int32"),
  fp32FalseTrue: many(3, "float"),
  boolFalseTrue: many(5, "bool"),
  dataType: one(4, dataType),
});

const sequenceState: MessageType<ModelSequenceState> = message("ModelSequenceBatching.State", {
  inputName: one(1, "string"),
  outputName: one(2, "string"),
  dataType: one(3, dataType),
  dims: many(4, "length"),
  initialState: many(
    5,
    message<Item<ModelSequenceState["initialState"]>>("ModelSequenceBatching.InitialState", {
      dataType: one(1, dataType),
      dims: many(2, "length"),
      zeroData: one(3, "bool", "state_data"),
      dataFile: one(4, "string", "state_data"),
      name: one(5, "string"),
    }),
  ),
  useSameBufferForInputOutput: one(6, "bool"),
  useGrowableMemory: one(7, "bool"),
});

type Direct = Item<ModelSequenceBatching["direct"]>;
type Oldest = Item<ModelSequenceBatching["oldest"]>;

const sequenceBatching: MessageType<ModelSequenceBatching> = message("ModelSequenceBatching", {
  direct: one(
    3,
    message<Direct>("ModelSequenceBatching.StrategyDirect", {
      maxQueueDelayMicroseconds: one(1, "uint64"),
      minimumSlotUtilization: one(2, "float"),
    }),
    "strategy_choice",
  ),
  oldest: one(
    4,
    message<Oldest>("ModelSequenceBatching.StrategyOldest", {
      maxCandidateSequences: one(1, "int32"),
      preferredBatchSize: many(2, "int32"),
      maxQueueDelayMicroseconds: one(3, "uint64"),
      preserveOrdering: one(4, "bool"),
    }),
    "strategy_choice",
  ),
  maxSequenceIdleMicroseconds: one(1, "uint64"),
  controlInput: many(
    2,
    message<Item<ModelSequenceBatching["controlInput"]>>("ModelSequenceBatching.ControlInput", {
      name: one(1, "string"),
      control: many(2, control),
    }),
  ),
  state: many(5, sequenceState),
  iterativeSequence: one(6, "bool"),
});

const ensembleStep: MessageType<ModelEnsemblingStep> = message("ModelEnsembling.Step", {
  modelName: one(1, "string"),
  modelVersion: one(2, "int64"),
  inputMap: mapOf(3, "string"),
  outputMap: mapOf(4, "string"),
  modelNamespace: one(5, "string"),
});

const ensembling: MessageType<ModelEnsembling> = message("ModelEnsembling", {
  step: many(1, ensembleStep),
  maxInflightRequests: one(2, "uint32"),
});

const warmupInput: MessageType<ModelWarmupInput> = message("ModelWarmup.Input", {
  dataType: one(1, dataType),
  dims: many(2, "length"),
  zeroData: one(3, "bool", "input_data_type"),
  randomData: one(4, "bool", "input_data_type"),
  inputDataFile: one(5, "string", "input_data_type"),
});

const warmup: MessageType<ModelWarmup> = message("ModelWarmup", {
  name: one(1, "string"),
  batchSize: one(2, "uint32"),
  inputs: mapOf(3, warmupInput),
  count: one(4, "uint32"),
});

type Metrics = Item<ModelConfig["modelMetrics"]>;
type MetricControl = Item<Metrics["metricControl"]>;

const modelMetrics: MessageType<Metrics> = message("ModelMetrics", {
  metricControl: many(
    1,
    message<MetricControl>("ModelMetrics.MetricControl", {
      metricIdentifier: one(
        1,
        message<Item<MetricControl["metricIdentifier"]>>("ModelMetrics.MetricControl.MetricIdentifier", { family: one(1, "string") }),
      ),
      histogramOptions: one(
        2,
        message<Item<MetricControl["histogramOptions"]>>("ModelMetrics.MetricControl.HistogramOptions", { buckets: many(1, "double") }),
        "metric_options",
      ),
    }),
  ),
});

type Operations = Item<ModelConfig["modelOperations"]>;
type Transaction = Item<ModelConfig["modelTransactionPolicy"]>;
type Agents = Item<ModelConfig["modelRepositoryAgents"]>;

/** The whole configuration. */
export const modelConfigType: MessageType<ModelConfig> = message("ModelConfig", {
  name: one(1, "string"),
  platform: one(2, "string"),
  backend: one(17, "string"),
  runtime: one(25, "string"),
  versionPolicy: one(3, versionPolicy),
  maxBatchSize: one(4, "int32"),
  input: many(5, input),
  output: many(6, output),
  batchInput: many(20, batchInput),
  batchOutput: many(21, batchOutput),
  optimization: one(12, optimization),
  dynamicBatching: one(11, dynamicBatching, "scheduling_choice"),
  sequenceBatching: one(13, sequenceBatching, "scheduling_choice"),
  ensembleScheduling: one(15, ensembling, "scheduling_choice"),
  instanceGroup: many(7, instanceGroup),
  defaultModelFilename: one(8, "string"),
  ccModelFilenames: mapOf(9, "string"),
  metricTags: mapOf(10, "string"),
  parameters: mapOf(14, message<{ readonly stringValue?: string | undefined }>("ModelParameter", { stringValue: one(1, "string") })),
  modelWarmup: many(16, warmup),
  modelOperations: one(18, message<Operations>("ModelOperations", { opLibraryFilename: many(1, "string") })),
  modelTransactionPolicy: one(19, message<Transaction>("ModelTransactionPolicy", { decoupled: one(1, "bool") })),
  modelRepositoryAgents: one(
    23,
    message<Agents>("ModelRepositoryAgents", { agents: many(1, namedParameters("ModelRepositoryAgents.Agent")) }),
  ),
  responseCache: one(24, message<{ readonly enable?: boolean | undefined }>("ModelResponseCache", { enable: one(1, "bool") })),
  modelMetrics: one(26, modelMetrics),
});
