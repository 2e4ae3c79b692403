import { isDataType } from "../../tensor/data-type.ts";
import { sizeOfShape } from "../../tensor/shape.ts";
import { plainBytes } from "../elements.ts";
import type { InferOutput, InferParameters, InferResponse } from "../inference.ts";
import { InferenceError } from "../inference-error.ts";
import { checkCutOff, dataOfOutput } from "../output-data.ts";
import { headerLengthOutOfRange } from "./header-length.ts";
import { readJsonData, type JsonReading } from "./json-data.ts";
import type { WireValue } from "./lenient-json.ts";
import { arrayMember, isObject, memberOf, stringMember, unsignedOf } from "./members.ts";
import { readTensorParameters } from "./parameters.ts";
import { readJsonBody } from "./read-json.ts";

interface Reading extends JsonReading {
  readonly body: Uint8Array;
  /** Where the next binary tensor begins. */
  offset: number;
}

/**
 * Reads the answer to an inference. Binary tensors are views on the body where they are aligned.
 *
 * @param headerLength - how many bytes of the body are JSON; undefined for all of them
 * @throws InferenceError `INTERNAL` for what is no such answer
 */
export function readInferResponse(body: Uint8Array, headerLength: number | undefined): InferResponse {
  const jsonLength = headerLength ?? body.byteLength;
  if (!(jsonLength >= 0 && jsonLength <= body.byteLength)) throw headerLengthOutOfRange(String(headerLength), body.byteLength);
  const plain = plainBytes(body);
  return readJsonBody(plain.subarray(0, jsonLength), (value, how) => readResponse(value, { ...how, body: plain, offset: jsonLength }));
}

function readResponse(value: WireValue, reading: Reading): InferResponse {
  const [id, version] = [memberOf(value, "id"), memberOf(value, "model_version")];
  const parameters = memberOf(value, "parameters");
  return {
    modelName: stringMember(value, "model_name"),
    // The protocol lets a server that has no versions leave it out.
    modelVersion: typeof version === "string" ? version : "",
    id: typeof id === "string" ? id : "",
    parameters: readParameters(parameters, reading.exact) ?? {},
    outputs: arrayMember(value, "outputs").map((output) => readOutput(output, reading)),
  };
}

function readParameters(value: WireValue | undefined, exact: boolean): InferParameters | undefined {
  return isObject(value) ? readTensorParameters(value, exact) : undefined;
}

function readOutput(value: WireValue, reading: Reading): InferOutput {
  const name = stringMember(value, "name");
  const dataType = stringMember(value, "datatype");
  if (!isDataType(dataType)) throw new InferenceError("INTERNAL", `The output '${name}' is of ${dataType}, which is no data type.`);
  const shape = arrayMember(value, "shape").map((dimension) => unsignedOf(dimension, "Unable to parse 'shape'"));
  const given = memberOf(value, "parameters");
  const parameters = readParameters(given, reading.exact);
  const size = sizeOfShape(shape);
  const byteSize = memberOf(given, "binary_data_size");
  if (byteSize !== undefined) {
    const bytes = takeBytes(name, unsignedOf(byteSize, "Unable to parse 'binary_data_size'"), reading);
    return { name, dataType, shape, data: dataOfOutput(name, dataType, size, bytes), parameters };
  }
  const values = arrayMember(value, "data");
  if (size > reading.body.byteLength)
    throw new InferenceError("INTERNAL", `The output '${name}' has less data than its shape has room for.`);
  const data = readJsonData({ name, dataType }, values, size, reading);
  if (data.length !== size)
    throw new InferenceError("INTERNAL", `The output '${name}' has ${data.length} texts, its shape room for ${size}.`);
  checkCutOff(name, dataType, data, values);
  return { name, dataType, shape, data, parameters };
}

function takeBytes(name: string, byteSize: number, reading: Reading): Uint8Array {
  const end = reading.offset + byteSize;
  if (end > reading.body.byteLength) {
    const missing = end - reading.body.byteLength;
    throw new InferenceError("INTERNAL", `The answer ends ${missing} bytes before the end of its output '${name}'.`);
  }
  const bytes = reading.body.subarray(reading.offset, end);
  reading.offset = end;
  return bytes;
}
