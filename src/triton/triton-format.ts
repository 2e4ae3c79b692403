import { formatPath, ServableError } from "../errors.ts";
import { arrayNameOf, isDataOf, nameOfData, type TensorData, type TensorElement } from "../tensor/data-type.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { NestedArray, TensorElementInput } from "../tensor/nested.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { tensorsOfConfig, type ConfigTensor, type ConfigTensors } from "./config-tensors.ts";
import type { ModelConfig } from "./model-config.ts";
import type { TritonModelConfig } from "./triton-model-config.ts";

/**
 * One array as plain data: arrays of arrays of values, where the innermost may be typed arrays; one typed array (or list of texts) for the whole
 * tensor, whose shape then follows from the configuration; or a tensor.
 */
export type PlainArray = Tensor | TensorData | NestedArray<TensorElement | number | TensorData>;

/** Plain arrays by name. */
export type PlainArrays = Readonly<Record<string, PlainArray>>;

/** Turns plain arrays into the named tensors of one side of a model, and back. */
export interface TritonFormat {
  /** What the tensors of this side are. */
  readonly tensors: readonly ConfigTensor[];
  /** @throws ServableError `invalid_argument` with the name and the axis of what does not fit */
  toTensors(arrays: PlainArrays): NamedArrays;
  /** The same as nested arrays of plain values. @throws ServableError `invalid_argument` with the name and the axis of what does not fit */
  toNested(tensors: NamedArrays): Record<string, NestedArray<TensorElement>>;
  /** The same as flat typed arrays, with no copy. @throws ServableError `invalid_argument` with the name and the axis of what does not fit */
  toTyped(tensors: NamedArrays): Record<string, TensorData>;
}

/**
 * Makes the format of a model's inputs or outputs, checked against its configuration.
 *
 * @throws ServableError `invalid_config` where the configuration does not tell names and data types
 * @example
 * ```ts
 * import { TritonModelConfig, TritonTensor, tritonFormat } from "servable/triton";
 *
 * const config = new TritonModelConfig({
 *   name: "classifier",
 *   backend: "onnxruntime",
 *   maxBatchSize: 8,
 *   inputs: [new TritonTensor("x", "TYPE_FP32", "FORMAT_NONE", [3])],
 *   outputs: [new TritonTensor("y", "TYPE_FP32", "FORMAT_NONE", [2])],
 * });
 * const inputs = tritonFormat(config, "inputs").toTensors({ x: [[1, 2, 3], [4, 5, 6]] });
 * console.log(String(inputs.x)); // FP32 [2, 3]
 * ```
 */
export function tritonFormat(config: ModelConfig | TritonModelConfig, side: "inputs" | "outputs"): TritonFormat {
  const all = tensorsOfConfig(config);
  const tensors = all[side];
  const word = side === "inputs" ? "input" : "output";
  const check = (given: Readonly<Record<string, unknown>>): void => {
    checkNames(tensors, word, given);
  };
  const checked = (arrays: NamedArrays): readonly (readonly [string, Tensor])[] => {
    check(arrays);
    return present(tensors, arrays).map(([spec, array]) => [spec.name, checkTensor(spec, array, word, all)]);
  };
  return {
    tensors,
    toTensors(arrays) {
      check(arrays);
      return Object.fromEntries(
        present(tensors, arrays).map(([spec, array]) => [spec.name, checkTensor(spec, tensorOf(spec, array, word), word, all)]),
      );
    },
    toNested: (arrays) => Object.fromEntries(checked(arrays).map(([name, array]) => [name, array.toNested()])),
    toTyped: (arrays) => Object.fromEntries(checked(arrays).map(([name, array]) => [name, array.data])),
  };
}

function present<T>(tensors: readonly ConfigTensor[], given: Readonly<Record<string, T>>): (readonly [ConfigTensor, T])[] {
  return tensors.flatMap((spec) => {
    const array = Object.hasOwn(given, spec.name) ? given[spec.name] : undefined;
    return array === undefined ? [] : [[spec, array] as const];
  });
}

function checkNames(tensors: readonly ConfigTensor[], word: string, given: Readonly<Record<string, unknown>>): void {
  for (const { name, optional } of tensors) {
    if (!optional && (!Object.hasOwn(given, name) || given[name] === undefined)) throw wrong([name], `The ${word} '${name}' is missing`);
  }
  for (const name of Object.keys(given)) {
    if (tensors.some((spec) => spec.name === name)) continue;
    const known = tensors.map((spec) => `'${spec.name}'`).join(", ");
    throw wrong([name], `The configuration has no ${word} '${name}'; it has: ${known || "none"}`);
  }
}

function tensorOf(spec: ConfigTensor, array: PlainArray, word: string): Tensor {
  const { name, dataType } = spec;
  if (Tensor.isTensor(array)) return array;
  try {
    if (ArrayBuffer.isView(array)) return flatTensor(spec, array);
    return Tensor.from(dataType, withPlainLeaves(spec, array));
  } catch (thrown) {
    if (!ServableError.isInstance(thrown)) throw thrown;
    // The path within the array goes on from its name.
    const path = [name, ...(thrown.issues[0]?.path ?? [])];
    const message = thrown.issues[0] === undefined ? thrown.message : `${formatPath(path)} ${thrown.issues[0].message}.`;
    throw new ServableError("invalid_argument", `The ${word} '${name}' does not fit: ${message}`, {
      issues: [{ path, message: thrown.issues[0]?.message ?? thrown.message }],
      cause: thrown,
    });
  }
}

/** Typed arrays within nested ones become plain ones. What values may be is checked when they are read. */
function withPlainLeaves(spec: ConfigTensor, array: unknown): NestedArray<TensorElementInput> {
  if (Array.isArray(array)) return array.map((item) => withPlainLeaves(spec, item));
  if (!ArrayBuffer.isView(array) || spec.dataType === "BYTES") return array as TensorElementInput;
  if (!isDataOf(spec.dataType, array)) throw wrongData(spec, array);
  return new Tensor(spec.dataType, [array.length], array).toNested();
}

/** A typed array for the whole tensor: one axis may be free, and is as long as the elements make it. */
function flatTensor(spec: ConfigTensor, data: ArrayBufferView): Tensor {
  if (!isDataOf(spec.dataType, data)) throw wrongData(spec, data);
  const free = spec.shape.flatMap((length, axis) => (length < 0 ? [axis] : []));
  const fixed = spec.shape.reduce((size, length) => (length < 0 ? size : size * length), 1);
  const [axis, second] = free;
  if (second !== undefined) {
    throw plain(
      `its shape, ${formatShape(spec.shape)}, is free in axes ${free.join(" and ")}, so that one typed array does not tell it: give a Tensor, or nested arrays`,
    );
  }
  if (axis === undefined ? data.length !== fixed : fixed === 0 || data.length % fixed !== 0) {
    const wanted = axis === undefined ? `${fixed}` : `a multiple of ${fixed}`;
    throw plain(`it has ${data.length} elements, and its shape, ${formatShape(spec.shape)}, wants ${wanted}`);
  }
  const shape = spec.shape.map((length) => (length < 0 ? data.length / fixed : length));
  return new Tensor(spec.dataType, shape, data);
}

function checkTensor(spec: ConfigTensor, array: Tensor, word: string, { maxBatchSize }: ConfigTensors): Tensor {
  const { name, dataType, shape } = spec;
  const says = `the configuration says ${dataType} ${formatShape(shape)}`;
  if (!Tensor.isTensor(array)) throw wrong([name], `The ${word} '${name}' must be a Tensor; ${says}`);
  if (array.dataType !== dataType) throw wrong([name], `The ${word} '${name}' is of ${array.dataType}, and ${says}`);
  if (array.shape.length !== shape.length) {
    throw wrong([name], `The ${word} '${name}' has ${array.shape.length} axes, ${formatShape(array.shape)}, and ${says}`);
  }
  for (const [axis, length] of array.shape.entries()) {
    const wanted = shape[axis] ?? -1;
    if (wanted >= 0 && wanted !== length)
      throw wrong([name], `The ${word} '${name}' has the length ${length} in axis ${axis}, and ${says}`);
  }
  const rows = array.shape[0] ?? 0;
  if (maxBatchSize > 0 && rows > maxBatchSize) {
    throw wrong([name], `The ${word} '${name}' has ${rows} rows in axis 0, the batch, and the configuration allows ${maxBatchSize}`);
  }
  return array;
}

function wrongData({ dataType }: ConfigTensor, data: ArrayBufferView): ServableError {
  return plain(`for ${dataType} a typed array must be ${arrayNameOf(dataType)}, and it is ${nameOfData(data)}`);
}

function plain(message: string): ServableError {
  return new ServableError("invalid_argument", `${message}.`);
}

function wrong(path: readonly string[], message: string): ServableError {
  return new ServableError("invalid_argument", `${message}.`, { issues: [{ path, message }] });
}
