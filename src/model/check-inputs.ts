import { ServableError } from "../errors.ts";
import type { NamedArrays } from "../tensor/named-arrays.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Model, TensorSpec } from "./model.ts";

/** Whether a shape fits a spec: the same number of dimensions, and the fixed ones as long as they must be. */
export function shapeFits(shape: readonly number[], wanted: TensorSpec["shape"]): boolean {
  return shape.length === wanted.length && wanted.every((length, axis) => isFree(length) || length === shape[axis]);
}

/**
 * Checks named arrays against what a model takes, before any of it runs: missing and unknown names, data types, the number of
 * dimensions and the fixed ones.
 *
 * @throws ServableError `invalid_argument` with the name, what was expected and what was given
 */
export function checkInputs(model: Pick<Model, "name" | "inputs">, inputs: NamedArrays): void {
  for (const spec of model.inputs) {
    const array: unknown = Object.hasOwn(inputs, spec.name) ? inputs[spec.name] : undefined;
    if (array === undefined)
      throw wrong(spec.name, `The model '${model.name}' wants the input '${spec.name}' (${formatSpec(spec)}), which is missing.`);
    if (!Tensor.isTensor(array)) {
      throw wrong(spec.name, `The input '${spec.name}' of the model '${model.name}' must be a Tensor of ${formatSpec(spec)}.`);
    }
    if (array.dataType !== spec.dataType || !shapeFits(array.shape, spec.shape)) {
      const expected = `must be ${formatSpec(spec)}`;
      throw wrong(spec.name, `The input '${spec.name}' of the model '${model.name}' ${expected}, not ${array.toString()}.`);
    }
  }
  for (const name of Object.keys(inputs)) {
    if (model.inputs.some((spec) => spec.name === name)) continue;
    const known = model.inputs.map((spec) => `'${spec.name}'`).join(", ");
    throw wrong(name, `The model '${model.name}' has no input '${name}'. It takes: ${known || "nothing"}.`);
  }
}

/** Writes a spec for messages: `FP32 [batch, 3]`. */
export function formatSpec(spec: Pick<TensorSpec, "dataType" | "shape">): string {
  return `${spec.dataType} ${formatShape(spec.shape)}`;
}

function isFree(length: number | string): boolean {
  return typeof length === "string" || length < 0;
}

function wrong(name: string, message: string): ServableError {
  return new ServableError("invalid_argument", message, { issues: [{ path: [name], message }] });
}
