import { countElements, plainBytes } from "../elements.ts";
import type { InferInput, InferParameters, InferRequest, RequestedOutput } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { noBinaryOutputs, type BinaryOutputs } from "./binary-outputs.ts";
import { headerLengthOutOfRange } from "./header-length.ts";
import { readJsonData, tooShort, type JsonReading } from "./json-data.ts";
import type { WireValue } from "./lenient-json.ts";
import { arrayMember, booleanOf, isObject, kindFailure, memberOf, stringMember, unsignedOf } from "./members.ts";
import { readRequestParameters, readTensorParameters } from "./parameters.ts";
import { readJsonBody } from "./read-json.ts";
import { wholeText } from "./read-text.ts";

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
interface Reading extends JsonReading {
  readonly target: InferTarget;
  readonly body: Uint8Array;
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
  return readJsonBody(json, (value, how) => readRequest(value, { target, body: plainBytes(body), ...how, offset: jsonLength }));
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
  const id = idMember === undefined ? "" : wholeText(idMember);
  return { request: { modelName, modelVersion, id, parameters, inputs, outputs }, binaryOutputs };
}

function readInput(value: WireValue, reading: Reading): InferInput {
  const given = memberOf(value, "parameters");
  const byteSize = memberOf(given, "binary_data_size");
  const region = memberOf(given, "shared_memory_region");
  checkContent(memberOf(value, "data") !== undefined, byteSize !== undefined, region !== undefined);
  const name = stringMember(value, "name");
  const dataType = stringMember(value, "datatype");
  const shape = readShape(value);
  const parameters = isObject(given) ? readTensorParameters(given, reading.exact) : undefined;
  if (byteSize !== undefined) {
    const bytes = takeBytes(name, unsignedOf(byteSize, "Unable to parse 'binary_data_size'"), reading);
    return { name, dataType, shape, parameters, bytes };
  }
  if (region !== undefined) {
    if (typeof region !== "string") throw kindFailure("Unable to parse 'shared_memory_region'", "JSON non-string as string");
    throw new InferenceError("UNSUPPORTED", sharedMemoryOff);
  }
  const size = countElements(name, dataType, shape);
  // Triton reads no data where the shape has no room for any.
  if (size === 0) return { name, dataType, shape, parameters, bytes: new Uint8Array(0) };
  const values = arrayMember(value, "data");
  // Each element takes a byte of the body at least: a shape alone can't make this reserve memory.
  const room = Math.min(size, reading.body.byteLength);
  const data = readJsonData({ name, dataType }, values, room, reading);
  if (room !== size && dataType !== "BYTES") throw tooShort();
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
  const parameters = isObject(given) ? readTensorParameters(given, exact) : undefined;
  // 0 means the same as none at all.
  return { name, classification: classification === 0 ? undefined : classification, parameters };
}
