import type { DataType, TensorData } from "../../tensor/data-type.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What one tensor of a model is: its data type, and its rank as the length of `shape`. */
export interface TensorType<D extends DataType = DataType, S extends readonly number[] = readonly number[]> {
  readonly dataType: D;
  readonly shape: S;
}

/** The tensors of one model, by name. An input that may be left out is an optional member. */
export interface ModelTypes {
  readonly inputs: Readonly<Record<string, TensorType | undefined>>;
  readonly outputs: Readonly<Record<string, TensorType>>;
}

/** What a map of models by name must be; `servable triton types` writes one. */
export type ModelMap<Models> = { readonly [Name in keyof Models]: ModelTypes };

/** Models of which nothing is known: any name, any tensors. */
export type AnyModels = Readonly<Record<string, ModelTypes>>;

// Their arrays hold other data types, too, so the array does not tell which one is meant.
type Ambiguous = "BOOL" | "FP16" | "BF16";

/** A tensor as plain data. Without `dataType` the array tells it: a Float32Array is FP32, a BigInt64Array INT64, a list of texts BYTES. */
export type TensorInput<D extends DataType = DataType, S extends readonly number[] = readonly number[]> = D extends DataType
  ? { readonly shape: S; readonly data: TensorData<D> } & (D extends Ambiguous
      ? { readonly dataType: D }
      : { readonly dataType?: D | undefined })
  : never;

/** A tensor whose rank its type tells. */
export type RankedTensor<D extends DataType = DataType, S extends readonly number[] = readonly number[]> = Tensor<D> & {
  readonly shape: S;
};

type InputOf<T> = T extends TensorType<infer D, infer S> ? TensorInput<D, S> | RankedTensor<D, S> : never;
type OutputOf<T> = T extends TensorType<infer D, infer S> ? RankedTensor<D, S> : never;

/** The names of a model's outputs. */
export type OutputName<Model extends ModelTypes> = keyof Model["outputs"] & string;

/** What a model takes. */
export type ModelInputs<Model extends ModelTypes> = {
  readonly [Name in keyof Model["inputs"]]:
    InputOf<NonNullable<Model["inputs"][Name]>> | (undefined extends Model["inputs"][Name] ? undefined : never);
};

/** What a model gives: those of its outputs that were asked for. */
export type ModelOutputs<Model extends ModelTypes, Name extends string = string> = {
  readonly [N in keyof Model["outputs"] & Name]: OutputOf<Model["outputs"][N]>;
};

/** For each output a list of `value:index[:label]`. */
export type ClassifiedOutputs<Name extends string = string> = { readonly [N in Name]: Tensor<"BYTES"> };
