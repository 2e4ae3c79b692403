import { arrayTypes, isDataType } from "../../tensor/data-type.ts";
import type { InferInput, InferParameter, InferParameters, InferRequest, RequestedOutput } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { noBinaryOutputs, type BinaryOutputs } from "./binary-outputs.ts";
import { headerLengthOutOfRange } from "./header-length.ts";
import { readJsonData } from "./json-data.ts";
import { parseLenientJson, type WireValue } from "./lenient-json.ts";
import { arrayMember, booleanOf, InexactInteger, isObject, kindFailure, memberOf, stringMember, unsignedOf } from "./members.ts";
import { checkDepth, decodeBody, rawBytes } from "./read-text.ts";

/** What the path of a request names. */
export interface InferTarget {
  readonly modelName: string;
  /** Empty for the newest one that is ready. */
  readonly modelVersion: string;
}

/** A request as it was read, and how its answer is to be written. */
export interface ReadInferRequest {
  readonly request: InferRequest;
  readonly binaryOutputs: BinaryOutputs;
}

/** What is known while a body is read. */
interface Reading {
  readonly target: InferTarget;
  readonly body: Uint8Array;
  /** Whether integers beyond 2^53 are bigints in what was parsed. */
  readonly exact: boolean;
  /** Whether the JSON is UTF-8. */
  readonly sound: boolean;
  /** Where the next binary tensor begins. */
  offset: number;
}

const noParameters: InferParameters = Object.freeze({});
const sharedMemoryOff = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";

/**
 * Reads the body of an inference: JSON, and behind it the binary tensors that the JSON tells of, which stay views on the body.
 *
 * @param headerLength - how many bytes of the body are JSON; undefined for all of them
 * @throws InferenceError
 */
export function readInferRequest(body: Uint8Array, headerLength: number | undefined, target: InferTarget): ReadInferRequest {
  const jsonLength = headerLength ?? body.byteLength;
  if (!(jsonLength >= 0 && jsonLength <= body.byteLength)) throw headerLengthOutOfRange(String(headerLength), body.byteLength);
  const json = jsonLength === body.byteLength ? body : body.subarray(0, jsonLength);
  return readJsonBody(json, (value, exact, sound) => readRequest(value, { target, body, exact, sound, offset: jsonLength }));
}

/**
 * Parses JSON and reads it with `read`, a second time where `JSON.parse` has lost digits that matter, or does not know what Triton knows.
 *
 * @throws InferenceError
 */
export function readJsonBody<T>(json: Uint8Array, read: (value: WireValue, exact: boolean, sound: boolean) => T): T {
  checkDepth(json);
  const { text, sound } = decodeBody(json);
  const parsed = parseFast(text);
  if (parsed === undefined) return read(parseLenientJson(text), true, sound);
  try {
    return read(parsed, false, sound);
  } catch (thrown) {
    if (!(thrown instanceof InexactInteger)) throw thrown;
    return read(parseLenientJson(text), true, sound);
  }
}

function parseFast(text: string): WireValue | undefined {
  try {
    return JSON.parse(text) as WireValue;
  } catch {
    return undefined;
  }
}

function readRequest(value: WireValue, reading: Reading): ReadInferRequest {
  const { modelName, modelVersion } = reading.target;
  const idMember = memberOf(value, "id");
  if (idMember !== undefined && typeof idMember !== "string") throw kindFailure("Unable to parse 'id'", "JSON non-string as string");
  const parametersMember = memberOf(value, "parameters");
  const parameters = parametersMember === undefined ? noParameters : readRequestParameters(parametersMember, reading.exact);
  const others = parametersMember !== undefined && memberOf(parametersMember, "binary_data_output") === true;

  const inputs = arrayMember(value, "inputs").map((input) => readInput(input, reading));
  if (reading.offset !== reading.body.byteLength) {
    throw new InferenceError("INVALID_ARG", `unexpected additional input data for model '${modelName}'`);
  }
  const outputs: RequestedOutput[] = [];
  let binaryOutputs = others ? { named: undefined, others } : noBinaryOutputs;
  if (memberOf(value, "outputs") !== undefined) {
    const named = new Map<string, boolean>();
    for (const output of arrayMember(value, "outputs")) outputs.push(readOutput(output, named, reading.exact));
    binaryOutputs = { named, others };
  }
  const id = idMember ?? "";
  return { request: { modelName, modelVersion, id, parameters, inputs, outputs }, binaryOutputs };
}

/** Parameters of a request; those that are about its encoding stay behind. */
function readRequestParameters(value: WireValue, exact: boolean): InferParameters {
  if (!isObject(value)) throw kindFailure("failed to get request params.", "get members for non-object");
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

function readInput(value: WireValue, reading: Reading): InferInput {
  const given = memberOf(value, "parameters");
  const byteSize = memberOf(given, "binary_data_size");
  const region = memberOf(given, "shared_memory_region");
  checkContent(memberOf(value, "data") !== undefined, byteSize !== undefined, region !== undefined);
  const name = stringMember(value, "name");
  const dataType = stringMember(value, "datatype");
  const shape = readShape(value);
  const parameters = isObject(given) ? readInputParameters(given, reading.exact) : undefined;
  if (byteSize !== undefined) {
    const bytes = takeBytes(name, unsignedOf(byteSize, "Unable to parse 'binary_data_size'"), reading);
    return { name, dataType, shape, parameters, bytes };
  }
  if (region !== undefined) {
    if (typeof region !== "string") throw kindFailure("Unable to parse 'shared_memory_region'", "JSON non-string as string");
    throw new InferenceError("UNSUPPORTED", sharedMemoryOff);
  }
  const size = elementCount(name, dataType, shape);
  // Triton reads no data where the shape has no room for any.
  if (size === 0) return { name, dataType, shape, parameters, bytes: new Uint8Array(0) };
  const values = arrayMember(value, "data");
  if (!isDataType(dataType)) throw new InferenceError("INVALID_ARG", `invalid datatype for input ${name}`);
  if (dataType === "FP16" || dataType === "BF16") {
    const text = `receiving ${dataType} data via JSON is not supported. Please use the binary data format for input ${name}`;
    throw new InferenceError("INVALID_ARG", text);
  }
  // Each element takes a byte of the body at least: a shape alone can't make this reserve memory.
  const room = dataType === "BYTES" ? size : Math.min(size, reading.body.byteLength);
  const data = readJsonData(dataType, values, room, reading.exact);
  if (room !== size) throw new InferenceError("INTERNAL", "Failed to parse 'data' field: shape does not match true shape");
  if (dataType === "BYTES" && !reading.sound && Array.isArray(data)) {
    return {
      name,
      dataType,
      shape,
      parameters,
      data: data.map((element: string | Uint8Array) => (typeof element === "string" ? rawBytes(element) : element)),
    };
  }
  return { name, dataType, shape, parameters, data };
}

function checkContent(data: boolean, binary: boolean, shared: boolean): void {
  if (Number(data) + Number(binary) + Number(shared) === 1) return;
  const found = [data ? " 'data'" : "", binary ? " 'binary_data_size'" : "", shared ? " 'shared_memory_region'" : ""].join("");
  throw new InferenceError(
    "INVALID_ARG",
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', 'shared_memory_region' in " +
      `'parameters'. But${found === "" ? " no field is set" : ` set${found}`}`,
  );
}

function readShape(value: WireValue): number[] {
  const members = arrayMember(value, "shape");
  const shape = new Array<number>(members.length);
  for (let axis = 0; axis < members.length; axis++) shape[axis] = unsignedOf(members[axis] ?? null, "Unable to parse 'shape'");
  return shape;
}

/** How many elements a shape has room for; as in Triton, what can't be counted in 64 bits is refused. */
function elementCount(name: string, dataType: string, shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) {
    size *= dimension;
    if (size >= 2 ** 63) {
      const text = `shape [${shape.join(",")}] of input '${name}' causes total element count to exceed maximum size of 9223372036854775807`;
      throw new InferenceError("INVALID_ARG", text);
    }
  }
  const elementBytes = isDataType(dataType) && dataType !== "BYTES" ? arrayTypes[dataType].BYTES_PER_ELEMENT : 1;
  if (size * elementBytes >= 2 ** 63) throw new InferenceError("INVALID_ARG", `byte size overflow for input '${name}'`);
  return size;
}

function readInputParameters(value: WireValue, exact: boolean): InferParameters | undefined {
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

function takeBytes(name: string, byteSize: number, reading: Reading): Uint8Array {
  const left = reading.body.byteLength - reading.offset;
  if (byteSize > left) {
    const text = `unexpected size for input '${name}', expecting ${byteSize - left} additional bytes for model '${reading.target.modelName}'`;
    throw new InferenceError("INVALID_ARG", text);
  }
  const bytes = reading.body.subarray(reading.offset, reading.offset + byteSize);
  reading.offset += byteSize;
  return bytes;
}

function readOutput(value: WireValue, named: Map<string, boolean>, exact: boolean): RequestedOutput {
  const given = memberOf(value, "parameters");
  const shared = memberOf(given, "shared_memory_region") !== undefined;
  const binary = memberOf(given, "binary_data");
  const classes = memberOf(given, "classification");
  if (shared && classes !== undefined) {
    throw new InferenceError("INVALID_ARG", "Output can't set both 'shared_memory_region' and 'classification'");
  }
  if (shared && binary !== undefined && booleanOf(binary, "Unable to set 'binary_data'")) {
    throw new InferenceError("INVALID_ARG", "Output can't set both 'shared_memory_region' and 'binary_data'");
  }
  const name = stringMember(value, "name");
  const classification = classes === undefined ? undefined : unsignedOf(classes, "Unable to set 'classification'");
  if (shared) throw new InferenceError("UNSUPPORTED", sharedMemoryOff);
  named.set(name, binary !== undefined && booleanOf(binary, "Unable to parse 'binary_data'"));
  const parameters = isObject(given) ? readInputParameters(given, exact) : undefined;
  // 0 means the same as none at all.
  return { name, classification: classification === 0 ? undefined : classification, parameters };
}
