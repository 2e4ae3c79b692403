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
export function checkOutputs(model: Pick<Model, "name">, outputs: unknown): asserts outputs is NamedArrays {
  checkArrays(model, outputs);
}

/**
 * As {@link checkOutputs}, for whatever else of a service gives named arrays.
 *
 * @param giver - the model, or what the function is called
 */
export function checkArrays(giver: string | Pick<Model, "name">, arrays: unknown): asserts arrays is NamedArrays {
  if (typeof arrays !== "object" || arrays === null || Array.isArray(arrays)) {
    throw new ServableError(
      "invalid_output",
      `${nameOf(giver)} must give tensors by name, such as { y: new Tensor(…) }; it gave ${given(arrays)}.`,
    );
  }
  for (const name of Object.keys(arrays)) {
    const array: unknown = (arrays as Readonly<Record<string, unknown>>)[name];
    if (!Tensor.isTensor(array)) {
      throw new ServableError("invalid_output", `${nameOf(giver)} must give '${name}' as a Tensor; it gave ${given(array)}.`);
    }
    if (array.data.length !== array.size) {
      const what = `${nameOf(giver)} gave '${name}' (${array.toString()}) without its elements`;
      throw new ServableError("invalid_output", `${what}: their memory was handed over to somebody else.`);
    }
  }
}

function nameOf(giver: string | Pick<Model, "name">): string {
  return typeof giver === "string" ? giver : `The model '${giver.name}'`;
}

function given(value: unknown): string {
  return value === undefined || value === null ? "nothing" : nameOfData(value);
}
