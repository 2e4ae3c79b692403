import type { DataType } from "../../tensor/data-type.ts";
import type { ModelConfig } from "../model-config.ts";

/** A tensor as an ONNX file declares it: -1 or the name of a symbol where a dimension may be of any length. */
export interface ModelTensor {
  readonly name: string;
  readonly dataType: DataType;
  readonly shape: readonly (number | string)[];
}

/** What a model's file says of its tensors. */
export interface ModelTensors {
  readonly inputs: readonly ModelTensor[];
  readonly outputs: readonly ModelTensor[];
  /** Initializers that a request may override: the only inputs that may be optional. @default none */
  readonly overridable?: readonly ModelTensor[] | undefined;
}

/** The lengths of a tensor's dimensions, -1 for any. */
export function dimsOf(tensor: ModelTensor): readonly number[] {
  return tensor.shape.map((length) => (typeof length === "number" && length >= 0 ? length : -1));
}

/** The inputs of the model that a request does not send: the scheduler, or the batch, makes them. */
export function madeByServer(config: ModelConfig): ReadonlySet<string> {
  const { controlInput = [], state = [] } = config.sequenceBatching ?? {};
  return new Set([
    ...controlInput.map(({ name = "" }) => name),
    ...state.map(({ inputName = "" }) => inputName),
    ...(config.batchInput ?? []).flatMap(({ targetName = [] }) => targetName),
  ]);
}
