import type { Tensor } from "./tensor.ts";

/** Tensors by name: what a model takes and gives. */
export type NamedArrays = Readonly<Record<string, Tensor>>;

/** Shapes by name. */
export type NamedShapes = Readonly<Record<string, readonly number[]>>;

/** The shape of each array. */
export function shapesOf(named: NamedArrays): NamedShapes {
  return mapArrays(named, ({ shape }) => shape);
}

/** A record with the same names, holding what `change` gives for each array. */
export function mapArrays<T>(named: NamedArrays, change: (array: Tensor, name: string) => T): Record<string, T> {
  // fromEntries defines properties, so that an array named "__proto__" is just that.
  return Object.fromEntries(Object.entries(named).map(([name, array]) => [name, change(array, name)]));
}
