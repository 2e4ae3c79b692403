import { ServableError } from "../errors.ts";
import { arrayTypes, type DataType, type TensorData } from "./data-type.ts";
import { mapArrays, setNamed, type NamedArrays } from "./named-arrays.ts";
import { formatShape, sameShape, sizeOfShape } from "./shape.ts";
import { knownSound, Tensor } from "./tensor.ts";

/** Whether two tensors can be stacked: one data type, and one shape but for the rows (axis 0). */
export function canStack(a: Tensor, b: Tensor): boolean {
  return a.dataType === b.dataType && a.shape.length > 0 && sameShape(a.shape, b.shape, 1);
}

/** Whether two sets of named arrays can be stacked: the same names, and under each arrays that can be. */
export function canStackNamed(a: NamedArrays, b: NamedArrays): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => {
      const [first, second] = [a[name], Object.hasOwn(b, name) ? b[name] : undefined];
      return first !== undefined && second !== undefined && canStack(first, second);
    })
  );
}

/**
 * How many rows (the length of axis 0) named arrays have, all of them the same.
 *
 * @throws ServableError `invalid_argument` when they differ, when one is a scalar, or when there are no arrays
 */
export function rowsOf(named: NamedArrays): number {
  let firstName = "";
  let firstRows: number | undefined;
  // Not Object.keys: this is asked for each request, and the list of names would be made for nothing.
  for (const name in named) {
    const array = named[name];
    if (array === undefined) continue;
    const rows = array.shape[0];
    if (rows === undefined) throw scalar(name, array);
    if (firstRows === undefined) {
      firstName = name;
      firstRows = rows;
    } else if (rows !== firstRows) {
      throw new ServableError(
        "invalid_argument",
        `The arrays must have the same number of rows, but '${firstName}' has ${firstRows} and '${name}' has ${rows}.`,
      );
    }
  }
  if (firstRows === undefined) throw new ServableError("invalid_argument", "There are no arrays, and so no rows.");
  return firstRows;
}

/**
 * Puts the rows of tensors under each other, along axis 0. The stack of one tensor is that very tensor.
 *
 * @param tensors - at least one, of one data type, and of one shape but for axis 0
 * @throws ServableError `invalid_argument` when they do not fit, with both shapes
 */
export function stack<D extends DataType>(tensors: readonly Tensor<D>[]): Tensor<D> {
  return stackOf(undefined, tensors);
}

/**
 * Puts the rows of named arrays under each other, name by name. The stack of one is that very object.
 *
 * @param list - at least one, all with the same names; in each, all arrays have the same number of rows
 * @throws ServableError `invalid_argument` when they do not fit, with the name and both shapes
 */
export function stackNamed(list: readonly NamedArrays[]): NamedArrays {
  const [first] = list;
  if (first === undefined) throw nothingToStack();
  if (list.length === 1) return first;
  const names = Object.keys(first);
  list.forEach((named, index) => {
    if (!hasNames(named, names)) checkNames(names, named, index);
    rowsOf(named);
  });
  return mapArrays(first, (_array, name) => stackOf(name, namedIn(list, name)));
}

/**
 * Takes a tensor apart along axis 0, the reverse of {@link stack}. The parts are views on the same memory (of `BYTES`, new lists
 * of the same elements); a single part is the tensor itself.
 *
 * @param tensor - the tensor
 * @param rows - how many rows each part gets; together all there are
 * @throws ServableError `invalid_argument` when the rows do not add up
 */
export function split<D extends DataType>(tensor: Tensor<D>, rows: readonly number[]): Tensor<D>[] {
  return splitOf(undefined, tensor, rows);
}

/**
 * Takes named arrays apart along axis 0, the reverse of {@link stackNamed}.
 *
 * @throws ServableError `invalid_argument`, naming the array, when the rows do not add up
 */
export function splitNamed(named: NamedArrays, rows: readonly number[]): NamedArrays[] {
  const parts: Record<string, Tensor>[] = rows.map(() => ({}));
  for (const [name, array] of Object.entries(named)) {
    splitOf(name, array, rows).forEach((part, index) => {
      const target = parts[index];
      if (target !== undefined) setNamed(target, name, part);
    });
  }
  return parts;
}

function stackOf<D extends DataType>(name: string | undefined, tensors: readonly Tensor<D>[]): Tensor<D> {
  const [first] = tensors;
  if (first === undefined) throw nothingToStack();
  if (tensors.length === 1) return first;
  if (first.shape.length === 0) throw scalar(name, first);
  let rows = 0;
  for (const tensor of tensors) {
    if (!canStack(first, tensor)) {
      const both = `${first.toString()} and ${tensor.toString()}`;
      throw new ServableError(
        "invalid_argument",
        `Cannot stack ${label(name, "the tensors")}: ${both} differ in more than their rows (axis 0).`,
      );
    }
    rows += tensor.shape[0] ?? 0;
  }
  const data = concatenate(first.dataType, tensors);
  // Its parts are of D, so what they are joined to is.
  return new Tensor(first.dataType, [rows, ...first.shape.slice(1)], data as TensorData<D>);
}

function concatenate(dataType: DataType, tensors: readonly Tensor[]): TensorData {
  if (dataType === "BYTES") return tensors.flatMap((tensor) => tensor.as("BYTES").data);
  let size = 0;
  for (const tensor of tensors) size += tensor.size;
  const joined = new arrayTypes[dataType](size);
  let offset = 0;
  for (const { data } of tensors) {
    // All are of one kind, numbers or bigints.
    (joined as Uint8Array).set(data as Uint8Array, offset);
    offset += data.length;
  }
  return joined;
}

function splitOf<D extends DataType>(name: string | undefined, tensor: Tensor<D>, rows: readonly number[]): Tensor<D>[] {
  const all = tensor.shape[0];
  if (all === undefined) throw scalar(name, tensor);
  const sound = rows.every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!sound || rows.reduce((sum, count) => sum + count, 0) !== all) {
    const what = `${label(name, "the tensor")}, ${tensor.toString()},`;
    throw new ServableError("invalid_argument", `Cannot split ${what} into parts of ${formatShape(rows)} rows: it has ${all}.`);
  }
  if (rows.length === 1) return [tensor];
  const rowShape = tensor.shape.slice(1);
  const rowSize = sizeOfShape(rowShape);
  let start = 0;
  let shape: readonly number[] = tensor.shape;
  return rows.map((count) => {
    const end = start + count * rowSize;
    const part = slice(tensor.data, start, end);
    start = end;
    if (shape[0] !== count) shape = Object.freeze([count, ...rowShape]);
    // A part of an array is of the same kind as the array.
    return new Tensor(tensor.dataType, shape, part as TensorData<D>, knownSound);
  });
}

function slice(data: TensorData, start: number, end: number): TensorData {
  return "subarray" in data ? data.subarray(start, end) : data.slice(start, end);
}

/** The names were compared: each of the list has one. */
function namedIn(list: readonly NamedArrays[], name: string): Tensor[] {
  const tensors: Tensor[] = [];
  for (const named of list) {
    const tensor = named[name];
    if (tensor !== undefined) tensors.push(tensor);
  }
  return tensors;
}

/** Whether these are its names, in this order. */
function hasNames(named: NamedArrays, names: readonly string[]): boolean {
  let count = 0;
  for (const name in named) {
    if (name !== names[count]) return false;
    count += 1;
  }
  return count === names.length;
}

function checkNames(wanted: readonly string[], named: NamedArrays, index: number): void {
  const got = Object.keys(named);
  if (got.length === wanted.length && wanted.every((name, place) => name === got[place])) return;
  const missing = wanted.filter((name) => !got.includes(name));
  const unknown = got.filter((name) => !wanted.includes(name));
  if (missing.length === 0 && unknown.length === 0) return;
  const differences = [...missing.map((name) => `'${name}' is missing`), ...unknown.map((name) => `'${name}' is not in the first one`)];
  throw new ServableError("invalid_argument", `Cannot stack: in the named arrays at ${index}, ${differences.join(", ")}.`);
}

function label(name: string | undefined, unnamed: string): string {
  return name === undefined ? unnamed : `'${name}'`;
}

function scalar(name: string | undefined, tensor: Tensor): ServableError {
  return new ServableError("invalid_argument", `${label(name, "The tensor")} is a scalar (${tensor.toString()}) and has no rows.`);
}

function nothingToStack(): ServableError {
  return new ServableError("invalid_argument", "There is nothing to stack: the list is empty.");
}
