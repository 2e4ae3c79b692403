import { ServableError } from "../errors.ts";

/** How many elements a shape has room for: the product of its dimensions; 1 for the scalar's `[]`. */
export function sizeOfShape(shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) size *= dimension;
  return size;
}

/**
 * Checks that a shape is one: a list of whole numbers from 0, whose product can be counted.
 *
 * @throws ServableError `invalid_argument`
 */
export function checkShape(shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape)) throw new ServableError("invalid_argument", "A tensor's shape must be an array of dimensions.");
  for (let axis = 0; axis < shape.length; axis += 1) {
    const dimension: unknown = shape[axis];
    if (!Number.isSafeInteger(dimension) || (dimension as number) < 0) {
      throw new ServableError(
        "invalid_argument",
        `Dimension ${axis} of the shape ${formatShape(shape)} is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`,
      );
    }
  }
  if (!Number.isSafeInteger(sizeOfShape(shape))) {
    throw new ServableError("invalid_argument", `The shape ${formatShape(shape)} has more elements than can be counted.`);
  }
}

/** Writes a shape for messages: `[2, 3]`; free dimensions as they are named. */
export function formatShape(shape: readonly unknown[]): string {
  return `[${shape.map(String).join(", ")}]`;
}

/** Whether two shapes agree in every dimension from `fromAxis` on. */
export function sameShape(a: readonly number[], b: readonly number[], fromAxis = 0): boolean {
  if (a.length !== b.length) return false;
  for (let axis = fromAxis; axis < a.length; axis++) if (a[axis] !== b[axis]) return false;
  return true;
}
