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
  const mapped: Record<string, T> = {};
  for (const name of Object.keys(named)) {
    const array = named[name];
    if (array !== undefined) setNamed(mapped, name, change(array, name));
  }
  return mapped;
}

/** Puts something under a name, whatever the name is. */
export function setNamed<T>(target: Record<string, T>, name: string, value: T): void {
  if (name !== "__proto__") target[name] = value;
  // Assigned, it would be the object's prototype instead of an array of that name.
  else Object.defineProperty(target, name, { value, enumerable: true });
}
