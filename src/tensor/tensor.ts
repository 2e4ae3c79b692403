import { ServableError } from "../errors.ts";
import {
  arrayNameOf,
  dataTypes,
  isDataOf,
  isDataType,
  nameOfData,
  type DataType,
  type TensorData,
  type TensorElement,
} from "./data-type.ts";
import { readNested, writeNested, type NestedArray, type TensorElementInput } from "./nested.ts";
import { checkShape, formatShape, sameShape, sizeOfShape } from "./shape.ts";

const marker = Symbol.for("servable.tensor");

/** Says that the parts of a tensor fit each other, and that its shape is frozen: they were taken from one that was checked. @internal */
export const knownSound: unique symbol = Symbol("knownSound");

/**
 * An array of numbers, booleans or texts in any number of dimensions, in row-major order: what models take and give. It holds
 * the typed array that it is given, without a copy; its shape never changes.
 *
 * @typeParam D - what its elements are
 * @example
 * ```ts
 * import { Tensor } from "servable";
 *
 * const image = new Tensor("FP32", [1, 3, 2, 2], new Float32Array(12));
 * const table = Tensor.from("INT64", [[1, 2, 3], [4, 5, 6]]);
 * table.shape; // [2, 3]
 * image.data.fill(0.5);
 * ```
 */
export class Tensor<D extends DataType = DataType> {
  static {
    // Recognises tensors of another installed copy of this package, where `instanceof` fails.
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  /** What the elements are. */
  readonly dataType: D;
  /** The length of each dimension, the outermost (the batch's rows) first; `[]` for a scalar. */
  readonly shape: readonly number[];
  /** The elements, the last dimension moving fastest. */
  readonly data: TensorData<D>;
  /** How many elements there are. */
  readonly size: number;

  /**
   * @param dataType - what the elements are
   * @param shape - the length of each dimension; copied
   * @param data - the elements, as many as the shape has room for; not copied
   * @param sound - this package's own: that the three are known to fit each other
   * @throws ServableError `invalid_argument` when the three do not fit each other
   */
  constructor(dataType: D, shape: readonly number[], data: TensorData<D>, sound?: symbol) {
    if (sound === knownSound) {
      this.dataType = dataType;
      this.shape = shape;
      this.data = data;
      this.size = data.length;
      return;
    }
    checkDataType(dataType);
    checkShape(shape);
    if (!isDataOf(dataType, data)) throw wrongData(dataType, data);
    const size = sizeOfShape(shape);
    if (data.length !== size) {
      const wanted = `${dataType} ${formatShape(shape)} has ${size} elements`;
      throw new ServableError("invalid_argument", `A tensor of ${wanted}, but its data has ${data.length}.`);
    }
    this.dataType = dataType;
    this.shape = frozenShape(shape);
    this.data = data;
    this.size = size;
  }

  /**
   * A tensor of nested arrays of plain values; its shape is theirs. Numbers are rounded to the nearest value of a floating-point type.
   *
   * @throws ServableError `invalid_argument`, with the path, when arrays are ragged or a value does not fit the data type
   */
  static from<D extends DataType>(dataType: D, nested: NestedArray<TensorElementInput<D>>): Tensor<D> {
    checkDataType(dataType);
    const { shape, data } = readNested(dataType, nested);
    if (!isDataOf(dataType, data)) throw wrongData(dataType, data);
    return new Tensor(dataType, shape, data);
  }

  /** Whether a value is a tensor, also one of another installed copy of this package. */
  static isTensor(value: unknown): value is Tensor {
    return typeof value === "object" && value !== null && marker in value;
  }

  /**
   * This very tensor, typed as one of a data type that it must have.
   *
   * @throws ServableError `invalid_argument` when it has another
   */
  // eslint-disable-next-line @typescript-eslint/prefer-return-this-type -- `this` does not say which data type has been found
  as<T extends DataType>(dataType: T): Tensor<T> {
    if (hasDataType(this, dataType)) return this;
    throw new ServableError("invalid_argument", `The tensor is ${this.toString()}, not ${dataType}.`);
  }

  /** The elements as nested arrays of plain values (16-bit floats as numbers, booleans as booleans); a scalar's is the value itself. */
  toNested(): NestedArray<TensorElement<D>> {
    return writeNested(this.dataType, this.shape, this.data) as NestedArray<TensorElement<D>>;
  }

  /** Its data type and shape, for messages: `FP32 [2, 3]`. */
  toString(): string {
    return `${this.dataType} ${formatShape(this.shape)}`;
  }
}

/**
 * Makes a {@link Tensor}: `tensor("FP32", [2, 3], data)`.
 *
 * @throws ServableError `invalid_argument` when data type, shape and data do not fit each other
 */
export function tensor<D extends DataType>(dataType: D, shape: readonly number[], data: TensorData<D>): Tensor<D> {
  return new Tensor(dataType, shape, data);
}

/** Whether a tensor's elements are of a data type. */
export function hasDataType<D extends DataType>(value: Tensor, dataType: D): value is Tensor<D> {
  return value.dataType === dataType;
}

let lastShape: readonly number[] = Object.freeze([]);

/** A copy that never changes; one tensor is mostly shaped like the one before. @internal */
export function frozenShape(shape: readonly number[]): readonly number[] {
  if (!sameShape(shape, lastShape)) lastShape = Object.freeze([...shape]);
  return lastShape;
}

function checkDataType(dataType: unknown): void {
  if (isDataType(dataType)) return;
  throw new ServableError("invalid_argument", `${JSON.stringify(dataType)} is not a data type. They are: ${dataTypes.join(", ")}.`);
}

function wrongData(dataType: DataType, data: unknown): ServableError {
  return new ServableError(
    "invalid_argument",
    `The data of a tensor of ${dataType} must be ${arrayNameOf(dataType)}; it is ${nameOfData(data)}.`,
  );
}
