/**
 * Which outputs of a response are binary. One that the request names is so only if its own `binary_data` says it; `binary_data_output` is
 * about those that the request does not name.
 */
export interface BinaryOutputs {
  readonly named: ReadonlyMap<string, boolean> | undefined;
  readonly others: boolean;
}

/** None of them. */
export const noBinaryOutputs: BinaryOutputs = { named: undefined, others: false };

/** All of them. */
export const allBinaryOutputs: BinaryOutputs = { named: undefined, others: true };

/** Whether an output is binary. */
export function isBinary(outputs: BinaryOutputs, name: string): boolean {
  return outputs.named?.get(name) ?? outputs.others;
}
