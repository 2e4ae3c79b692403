import { formatPath, ServableError } from "../errors.ts";
import type { DataType, TensorData, TensorElement } from "./data-type.ts";
import { decodeElement, encodeElements } from "./elements.ts";
import { sizeOfShape } from "./shape.ts";

/** A value, or arrays of arrays of it. */
export type NestedArray<T> = T | readonly NestedArray<T>[];

/** What one element of type D may be written as; 64-bit integers may be given as numbers, booleans as 1 and 0. */
export type TensorElementInput<D extends DataType = DataType> =
  TensorElement<D> | (D extends "INT64" | "UINT64" ? number : D extends "BOOL" ? 0 | 1 : never);

// NumPy's limit. It keeps the depth of the recursion below out of the hands of whoever sends nested arrays.
const maxRank = 64;

/**
 * The shape and the data of nested arrays. The first of every array tells how long its siblings are.
 *
 * @throws ServableError `invalid_argument` with the path of what does not fit
 */
export function readNested(dataType: DataType, nested: unknown): { readonly shape: readonly number[]; readonly data: TensorData } {
  const shape: number[] = [];
  for (let level = nested; Array.isArray(level); level = level[0]) {
    shape.push(level.length);
    if (shape.length > maxRank) throw new ServableError("invalid_argument", `A tensor can have at most ${maxRank} dimensions.`);
  }
  const leaves: unknown[] = [];
  const path: number[] = [];

  function visit(value: unknown): void {
    const depth = path.length;
    const wanted = shape[depth];
    if (!Array.isArray(value)) {
      if (wanted !== undefined) throw ragged(path, `is not an array; its siblings are arrays of ${wanted}`);
      leaves.push(value);
      return;
    }
    if (wanted === undefined) throw ragged(path, "is an array; its siblings are single values");
    if (value.length !== wanted) throw ragged(path, `has length ${value.length}; its siblings have length ${wanted}`);
    // Not forEach, which would pass over holes.
    for (let index = 0; index < value.length; index++) {
      path.push(index);
      visit(value[index]);
      path.pop();
    }
  }

  visit(nested);
  const data = encodeElements(dataType, leaves, (index, message) => {
    throw wrong(pathOfIndex(index, shape), message);
  });
  return { shape, data };
}

function ragged(path: readonly number[], message: string): ServableError {
  return wrong(path, `${message}. Nested arrays of a tensor must not be ragged`);
}

function wrong(path: readonly number[], message: string): ServableError {
  return new ServableError("invalid_argument", `${formatPath(path)} ${message}.`, { issues: [{ path, message }] });
}

function pathOfIndex(index: number, shape: readonly number[]): number[] {
  const path: number[] = [];
  let rest = index;
  for (const dimension of [...shape].reverse()) {
    path.unshift(rest % dimension);
    rest = Math.floor(rest / dimension);
  }
  return path;
}

/** The elements of a tensor as nested arrays of plain values; a scalar is the value itself. */
export function writeNested(dataType: DataType, shape: readonly number[], data: TensorData): NestedArray<TensorElement> {
  function build(axis: number, offset: number): NestedArray<TensorElement> {
    const dimension = shape[axis];
    if (dimension === undefined) {
      const element = data[offset];
      if (element === undefined) throw new ServableError("internal", `The tensor's data ends before element ${offset}.`);
      return decodeElement(dataType, element);
    }
    const stride = sizeOfShape(shape.slice(axis + 1));
    return Array.from({ length: dimension }, (_, index) => build(axis + 1, offset + index * stride));
  }
  return build(0, 0);
}
