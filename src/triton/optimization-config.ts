/** What a configuration says of how a model is made faster. */

/** A name with texts. */
export interface NamedParameters {
  /** Such as an accelerator's. */
  readonly name?: string | undefined;
  /** What it takes. */
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}

/** How a CUDA graph is shaped. */
export interface CudaGraphSpec {
  /** Rows. */
  readonly batchSize?: number | undefined;
  /** Shapes, by the input's name. */
  readonly input?: Readonly<Record<string, { readonly dim?: readonly number[] | undefined }>> | undefined;
  /** The smallest request that this graph is used for. */
  readonly graphLowerBound?:
    | {
        /** Rows. */
        readonly batchSize?: number | undefined;
        /** Shapes, by the input's name. */
        readonly input?: Readonly<Record<string, { readonly dim?: readonly number[] | undefined }>> | undefined;
      }
    | undefined;
}

/** What a backend may do to be faster. */
export interface ModelOptimizationPolicy {
  /** What the backend does to the model's graph: level -1 nothing, 0 what it does by default, higher ones more. */
  readonly graph?: { readonly level?: number | undefined } | undefined;
  /** Before other models on the same GPU. */
  readonly priority?: "PRIORITY_DEFAULT" | "PRIORITY_MAX" | "PRIORITY_MIN" | undefined;
  /** On GPUs of NVIDIA. */
  readonly cuda?:
    | {
        /** Captures CUDA graphs. @default false */
        readonly graphs?: boolean | undefined;
        /** Waits by asking again and again. @default false */
        readonly busyWaitEvents?: boolean | undefined;
        /** For which shapes graphs are captured. */
        readonly graphSpec?: readonly CudaGraphSpec[] | undefined;
        /** Copies outputs in a stream of their own. @default false */
        readonly outputCopyStream?: boolean | undefined;
      }
    | undefined;
  /** What else runs parts of the model. */
  readonly executionAccelerators?:
    | {
        /** On GPUs, such as `tensorrt`. */
        readonly gpuExecutionAccelerator?: readonly NamedParameters[] | undefined;
        /** On CPUs, such as `openvino`. */
        readonly cpuExecutionAccelerator?: readonly NamedParameters[] | undefined;
      }
    | undefined;
  /** Memory that the GPU reads by itself, for inputs. */
  readonly inputPinnedMemory?: { readonly enable?: boolean | undefined } | undefined;
  /** The same, for outputs. */
  readonly outputPinnedMemory?: { readonly enable?: boolean | undefined } | undefined;
  /** From how many buffers on a kernel gathers them. @default 0, never */
  readonly gatherKernelBufferThreshold?: number | undefined;
  /** Inputs are gathered while the model still runs. @default false */
  readonly eagerBatching?: boolean | undefined;
}
