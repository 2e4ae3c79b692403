import type { InferParameter, InferParameters } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import type { WireValue } from "./lenient-json.ts";
import { booleanOf, InexactInteger, isObject, kindFailure, unsignedOf } from "./members.ts";

/** Parameters of a request; those that are about its encoding stay behind. */
export function readRequestParameters(value: WireValue, exact: boolean): InferParameters {
  if (!isObject(value)) throw new InferenceError("INTERNAL", "failed to get request params.: attempt to get members for non-object");
  const parameters: Record<string, InferParameter> = {};
  for (const name of Object.keys(value)) {
    const member = value[name] ?? null;
    const what = `Unable to parse '${name}'`;
    switch (name) {
      case "binary_data_output":
        booleanOf(member, what);
        continue;
      case "sequence_start":
      case "sequence_end":
        booleanOf(member, what);
        break;
      case "sequence_id":
        if (typeof member !== "string" && !isUnsigned(member)) throw kindFailure(what, "JSON non-string as string");
        break;
      case "priority":
      case "timeout":
        unsignedOf(member, what);
        break;
      default:
        if (name.startsWith("triton_")) throw reservedParameter();
    }
    setParameter(parameters, name, readParameter(name, member, exact));
  }
  return parameters;
}

/** The failure of a parameter that only Triton itself may set. */
export function reservedParameter(): InferenceError {
  const text = "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.";
  return new InferenceError("INVALID_ARG", text);
}

/** @throws InferenceError `INVALID_ARG` for a list, an object or null */
export function readParameter(name: string, value: WireValue, exact: boolean): InferParameter {
  if (typeof value === "object") {
    throw new InferenceError("INVALID_ARG", `parameter '${name}' has invalid type. It should be either 'int', 'bool', or 'string'.`);
  }
  if (!exact && typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) throw new InexactInteger();
  return value;
}

/** Assigned, one named "__proto__" would be the object's prototype. */
export function setParameter(parameters: Record<string, InferParameter>, name: string, value: InferParameter): void {
  if (name === "__proto__") Object.defineProperty(parameters, name, { value, enumerable: true });
  else parameters[name] = value;
}

function isUnsigned(value: WireValue): boolean {
  return typeof value === "bigint" ? value >= 0n : typeof value === "number" && Number.isInteger(value) && value >= 0;
}

/** Parameters of an input or an output; those that are about its encoding stay behind. */
export function readTensorParameters(value: WireValue, exact: boolean): InferParameters | undefined {
  if (!isObject(value)) return undefined;
  const parameters: Record<string, InferParameter> = {};
  let any = false;
  for (const name of Object.keys(value)) {
    const member = value[name] ?? null;
    // Triton looks at none but its own, so what they are is nobody's concern.
    if (name === "binary_data_size" || name === "binary_data" || name === "classification" || typeof member === "object") continue;
    setParameter(parameters, name, readParameter(name, member, exact));
    any = true;
  }
  return any ? parameters : undefined;
}
