import type { InferParameter, InferParameters } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import type { inference } from "./generated/messages.js";
import { readInt64, writeInt64 } from "./int64.ts";
import { isSet } from "./is-set.ts";

type WireParameter = inference.InferParameter.$Properties;

/** Parameters as a message has them. */
export type WireParameters = Readonly<Record<string, WireParameter>>;

const int64Max = 2n ** 63n - 1n;

/** The one value that is set; undefined where none is. */
function readParameter(parameter: WireParameter): InferParameter | undefined {
  const { boolParam, int64Param, stringParam, doubleParam, uint64Param } = parameter;
  if (isSet(stringParam)) return stringParam;
  if (isSet(int64Param)) return readInt64(int64Param);
  if (isSet(boolParam)) return boolParam;
  if (isSet(doubleParam)) return doubleParam;
  return !isSet(uint64Param) ? undefined : readInt64(uint64Param);
}

/** Parameters of a response, or of one of its tensors: taken as they are. */
export function readParameters(parameters: WireParameters | null | undefined): InferParameters {
  const read: Record<string, InferParameter> = {};
  if (!isSet(parameters)) return read;
  for (const [name, parameter] of Object.entries(parameters)) {
    const value = readParameter(parameter);
    if (value !== undefined) define(read, name, value);
  }
  return read;
}

type ParameterKind = "int64Param" | "uint64Param" | "stringParam" | "boolParam" | "doubleParam";

/** Asks for a last reply to each request of a stream that says that it is the last. */
export const finalResponseKey = "triton_enable_empty_final_response";

/** What parameters that mean something to the server may be. */
const kinds: Readonly<Record<string, readonly ParameterKind[]>> = {
  sequence_id: ["int64Param", "stringParam"],
  sequence_start: ["boolParam"],
  sequence_end: ["boolParam"],
  priority: ["int64Param", "uint64Param"],
  timeout: ["int64Param"],
  [finalResponseKey]: ["boolParam"],
};

const customKinds: readonly ParameterKind[] = ["int64Param", "boolParam", "stringParam", "doubleParam"];

const kindNames: Readonly<Record<ParameterKind, string>> = {
  int64Param: "int64_param",
  uint64Param: "uint64_param",
  stringParam: "string_param",
  boolParam: "bool_param",
  doubleParam: "double_param",
};

/**
 * Parameters of a request, each of a kind that it may be.
 *
 * @throws InferenceError `INVALID_ARG`
 */
export function readRequestParameters(parameters: WireParameters | null | undefined): InferParameters {
  const read: Record<string, InferParameter> = {};
  if (!isSet(parameters)) return read;
  for (const [name, parameter] of Object.entries(parameters)) {
    const known = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (known === undefined && name.startsWith("triton_")) {
      throw new InferenceError(
        "INVALID_ARG",
        "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
      );
    }
    const allowed = known ?? customKinds;
    const value = allowed.some((kind) => isSet(parameter[kind])) ? readParameter(parameter) : undefined;
    if (value === undefined) {
      const expected = (known ?? customKinds.filter((kind) => kind !== "doubleParam")).map((kind) => kindNames[kind]);
      throw new InferenceError(
        "INVALID_ARG",
        `invalid value type for '${name}' parameter, expected ${listed(expected, known === undefined)}.`,
      );
    }
    // The front's own affair; no model is told.
    if (name !== finalResponseKey) define(read, name, value);
  }
  return read;
}

/** `a`, `a or b`; or `a, b, or c` with the comma that Triton's text has. */
function listed(names: readonly string[], comma: boolean): string {
  if (names.length === 1) return names[0] ?? "";
  return `${names.slice(0, -1).join(", ")}${comma ? "," : ""} or ${names.at(-1) ?? ""}`;
}

/** Parameters for a message. */
export function writeParameters(parameters: InferParameters | undefined): Record<string, WireParameter> {
  const written: Record<string, WireParameter> = {};
  for (const [name, value] of Object.entries(parameters ?? {})) define(written, name, writeParameter(value));
  return written;
}

function writeParameter(value: InferParameter): WireParameter {
  if (typeof value === "string") return { stringParam: value };
  if (typeof value === "boolean") return { boolParam: value };
  if (typeof value === "number") return Number.isSafeInteger(value) ? { int64Param: value } : { doubleParam: value };
  return value > int64Max ? { uint64Param: writeInt64(value, true) } : { int64Param: writeInt64(value) };
}

/** Sets a property whatever its name: `__proto__` is a name like any other on the wire. */
function define<T>(record: Record<string, T>, name: string, value: T): void {
  if (name === "__proto__") Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
  else record[name] = value;
}
