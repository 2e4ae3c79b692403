import type { DataType, TensorData } from "../tensor/data-type.ts";

/** A parameter of a request, a response, or one of their tensors. 64-bit integers beyond 2^53 are bigints. */
export type InferParameter = string | number | bigint | boolean;

/** Parameters by name. */
export type InferParameters = Readonly<Record<string, InferParameter>>;

/**
 * One input of a request. Just one of `data` and `bytes` is set: what came as text or as typed fields has been read already; what came as
 * bytes (little-endian, row-major; BYTES with their lengths) has not, and is read when the model it is for is known.
 */
export interface InferInput {
  readonly name: string;
  /** The name on the wire, which may be no data type at all. */
  readonly dataType: string;
  /** The length of each dimension, the batch's first where the model has one. */
  readonly shape: readonly number[];
  readonly parameters?: InferParameters | undefined;
  readonly data?: TensorData | undefined;
  readonly bytes?: Uint8Array | undefined;
}

/** An output that is asked for by name. */
export interface RequestedOutput {
  readonly name: string;
  /** Ask for the `k` best classes as text instead of the values. */
  readonly classification?: number | undefined;
  readonly parameters?: InferParameters | undefined;
}

/** A request of the Open Inference Protocol, whatever wire it came over. */
export interface InferRequest {
  readonly modelName: string;
  /** Empty for the newest one that is ready. */
  readonly modelVersion: string;
  readonly id: string;
  readonly parameters: InferParameters;
  readonly inputs: readonly InferInput[];
  /** Empty for all. */
  readonly outputs: readonly RequestedOutput[];
  /**
   * Whether the memory that its inputs are views on was made for this request alone, so that it may be handed over to the model's thread instead of
   * being copied, and is gone then.
   *
   * @default false
   */
  readonly owned?: boolean | undefined;
}

/** One output of a response: what a tensor is, with its name. */
export interface InferOutput {
  readonly name: string;
  readonly dataType: DataType;
  readonly shape: readonly number[];
  readonly data: TensorData;
  readonly parameters?: InferParameters | undefined;
}

/** A response of the Open Inference Protocol, whatever wire it leaves over. */
export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion: string;
  /** The request's own; empty where it had none. */
  readonly id: string;
  readonly parameters: InferParameters;
  readonly outputs: readonly InferOutput[];
}
