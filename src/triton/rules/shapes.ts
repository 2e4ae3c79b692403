/** How many elements a shape has; undefined where a dimension may be of any length. */
export function elementCount(shape: readonly number[]): bigint | undefined {
  if (shape.includes(-1)) return undefined;
  return shape.reduce((product, length) => product * BigInt(length), 1n);
}

/** Whether a number can be a dimension: a length, or -1 for any. Nothing can be empty. */
export function isDimension(length: number): boolean {
  return length === -1 || (Number.isSafeInteger(length) && length >= 1);
}

/**
 * What is wrong with a reshape between two shapes, if anything: the pieces between dimensions of any length must hold as many elements on
 * both sides, as [2, 4, -1, 6] and [8, -1, 1, 6] do.
 */
export function reshapeProblem(dims: readonly number[], shape: readonly number[]): string | undefined {
  const [before, after] = [pieces(dims), pieces(shape)];
  if (before.length !== after.length) return "has another number of variable dimensions (-1) than 'dims'";
  return before.every((count, index) => count === after[index]) ? undefined : "holds another number of elements than 'dims'";
}

function pieces(shape: readonly number[]): readonly bigint[] {
  const counts = [1n];
  for (const length of shape) {
    if (length === -1) counts.push(1n);
    else counts.push((counts.pop() ?? 1n) * BigInt(length));
  }
  return counts;
}
