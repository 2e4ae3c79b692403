import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { arrayTypes } from "../tensor/data-type.ts";
import { mapArrays, type NamedArrays } from "../tensor/named-arrays.ts";
import { rowsOf, split, splitNamed, stack, stackNamed } from "../tensor/stack.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Batcher } from "./batcher.ts";

/** Makes arrays of different shapes fit one batch. */
export interface Padding {
  /** Only arrays of one key are padded to fit one another, such as those of similar length: padding is computed, too. */
  key(arrays: NamedArrays): string;
  /** Makes all of them stackable: one shape under each name, rows (axis 0) aside. */
  pad(list: readonly NamedArrays[]): readonly NamedArrays[];
}

/** How the ready-made batchers put arrays together. */
export interface ArrayBatcherOptions {
  /** @default none: arrays share a batch only where their shapes are the same, rows aside */
  readonly padding?: Padding | undefined;
}

const keys = { padding: true } satisfies KeysOf<ArrayBatcherOptions>;

/**
 * The batcher for named arrays: rows of several requests under each other, along axis 0. It is what an `InferenceService` uses where
 * it names no other.
 */
export function namedArraysBatcher(options: ArrayBatcherOptions = {}): Batcher<NamedArrays, NamedArrays> {
  refuseUnknownKeys(options, keys, "namedArraysBatcher");
  const { padding } = options;
  return {
    rows: rowsOf,
    key: padding === undefined ? shapeKey : (arrays) => padding.key(arrays),
    batch: (requests) => stackNamed(padding === undefined ? requests : padding.pad(requests)),
    unbatch: (outputs, requests) => (requests.length === 1 ? [outputs] : splitNamed(outputs, requests.map(rowsOf))),
    // What it makes of several requests is a new stack.
    fresh: true,
  };
}

/** The batcher for one array in and one array out: rows of several requests under each other, along axis 0. */
export function arrayBatcher(options: ArrayBatcherOptions = {}): Batcher<Tensor, Tensor, Tensor> {
  refuseUnknownKeys(options, keys, "arrayBatcher");
  const { padding } = options;
  const named = (array: Tensor): NamedArrays => ({ array });
  const rowsOfOne = (array: Tensor): number => rowsOf(named(array));
  const padded = (requests: readonly Tensor[]): readonly Tensor[] =>
    padding === undefined ? requests : padding.pad(requests.map(named)).flatMap(({ array }) => array ?? []);
  return {
    rows: rowsOfOne,
    key: (array) => (padding === undefined ? shapeKey(named(array)) : padding.key(named(array))),
    batch: (requests) => stack(padded(requests)),
    unbatch: (outputs, requests) => split(outputs, requests.map(rowsOfOne)),
    fresh: true,
  };
}

/**
 * Pads every array at the end of one axis, to the length of the longest in the batch: for sequences. The model, or `postprocess`, has to know
 * what is padding, by a mask or a length that the request carries.
 *
 * @param axis - 1 or more: axis 0 is the rows
 * @param value - what is filled in; of `BYTES`, nothing can be. @default 0
 * @param steps - lengths are rounded up to the next of these, so that few shapes occur; ascending. @default as long as the longest
 */
export function padAxis(axis: number, value = 0, steps: readonly number[] = []): Padding {
  if (!Number.isSafeInteger(axis) || axis < 1) {
    throw new ServableError("invalid_argument", `padAxis pads an axis from 1 on, not ${axis}: axis 0 is the rows.`);
  }
  const roundUp = (length: number): number => steps.find((step) => step >= length) ?? length;
  return {
    key: (arrays) => {
      const lengths = Object.values(arrays).map(({ shape }) => (steps.length > 0 ? roundUp(shape[axis] ?? 0) : "*"));
      return `${lengths.join(",")};${shapeKey(arrays, axis)}`;
    },
    pad: (list) => {
      const longest = new Map<string, number>();
      for (const arrays of list) {
        for (const [name, { shape }] of Object.entries(arrays)) longest.set(name, Math.max(longest.get(name) ?? 0, shape[axis] ?? 0));
      }
      return list.map((arrays) => mapArrays(arrays, (array, name) => padOne(array, axis, roundUp(longest.get(name) ?? 0), value)));
    },
  };
}

function padOne(array: Tensor, axis: number, length: number, value: number): Tensor {
  const { dataType, shape, data } = array;
  const own = shape[axis];
  if (own === undefined || own === length) return array;
  if (!ArrayBuffer.isView(data) || dataType === "BYTES") {
    throw new ServableError(
      "invalid_argument",
      `${array.toString()} holds texts or bytes, which padAxis can't fill up; pad it in a hook of your own.`,
    );
  }
  const inner = shape.slice(axis + 1).reduce((product, dimension) => product * dimension, 1);
  const outer = shape.slice(0, axis).reduce((product, dimension) => product * dimension, 1);
  const padded = new arrayTypes[dataType](outer * length * inner);
  const [filling] = Tensor.from(dataType, [value]).data;
  padded.fill(filling as never);
  for (let part = 0; part < outer; part += 1) {
    padded.set(data.subarray(part * own * inner, (part + 1) * own * inner) as never, part * length * inner);
  }
  return new Tensor(dataType, [...shape.slice(0, axis), length, ...shape.slice(axis + 1)], padded);
}

/** Arrays of one key can be stacked: the same names, types and shapes, the rows and one more axis aside. */
function shapeKey(named: NamedArrays, freeAxis?: number): string {
  let key = "";
  for (const name in named) {
    const array = named[name];
    if (array === undefined) continue;
    key += `${name}:${array.dataType}:`;
    const { shape } = array;
    for (let axis = 1; axis < shape.length; axis += 1) key += axis === freeAxis ? "*," : `${shape[axis] ?? ""},`;
    key += ";";
  }
  return key;
}
