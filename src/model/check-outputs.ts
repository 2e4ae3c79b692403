import { ServableError } from "../errors.ts";
import { nameOfData } from "../tensor/data-type.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Model } from "./model.ts";

/**
 * Checks that what a model gave are named arrays: somebody's own model may give anything, and what follows relies on it.
 *
 * @throws ServableError `invalid_output` with the name and what was given
 */
export function checkOutputs({ name: model }: Pick<Model, "name">, outputs: unknown): asserts outputs is NamedArrays {
  if (typeof outputs !== "object" || outputs === null || Array.isArray(outputs)) {
    throw new ServableError(
      "invalid_output",
      `The model '${model}' must give tensors by name, such as { y: new Tensor(…) }; it gave ${given(outputs)}.`,
    );
  }
  for (const name of Object.keys(outputs)) {
    const array: unknown = (outputs as Readonly<Record<string, unknown>>)[name];
    if (!Tensor.isTensor(array)) {
      throw new ServableError("invalid_output", `The model '${model}' must give '${name}' as a Tensor; it gave ${given(array)}.`);
    }
    if (array.data.length !== array.size) {
      const what = `The model '${model}' gave '${name}' (${array.toString()}) without its elements`;
      throw new ServableError("invalid_output", `${what}: their memory was handed over to somebody else.`);
    }
  }
}

function given(value: unknown): string {
  return value === undefined || value === null ? "nothing" : nameOfData(value);
}
