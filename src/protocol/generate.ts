import { readJsonBody } from "./http/read-json.ts";
import { wholeText } from "./http/read-text.ts";
import { jsonElements, jsonParameter } from "./http/json-values.ts";
import { readJsonData, type JsonReading } from "./http/json-data.ts";
import type { WireObject, WireValue } from "./http/lenient-json.ts";
import { isObject, kindFailure, memberOf } from "./http/members.ts";
import { readParameter, reservedParameter, setParameter } from "./http/parameters.ts";
import type { InferTarget } from "./http/read-request.ts";
import type { InferInput, InferParameter, InferRequest, InferResponse } from "./inference.ts";
import { InferenceError } from "./inference-error.ts";
import type { TensorMetadata } from "./model-info.ts";

/** What is known of a model while a body is read. */
interface Mapping {
  readonly inputs: ReadonlyMap<string, TensorMetadata>;
  readonly how: JsonReading;
  readonly found: InferInput[];
  readonly parameters: Record<string, InferParameter>;
}

/**
 * Reads the body of the generate routes: members named like an input are that input, a value or a flat list; the others, and
 * what is in `parameters`, are parameters.
 *
 * @param inputs - of the model's metadata
 * @throws InferenceError
 */
export function readGenerateRequest(body: Uint8Array, target: InferTarget, inputs: readonly TensorMetadata[]): InferRequest {
  return readJsonBody(body, (value, how) => {
    const id = memberOf(value, "id");
    if (id !== undefined && typeof id !== "string") throw kindFailure("Unable to parse 'id'", "JSON non-string as string");
    if (!isObject(value)) throw new InferenceError("INTERNAL", "attempt to get members for non-object");
    const mapping: Mapping = { inputs: new Map(inputs.map((input) => [input.name, input])), how, found: [], parameters: {} };
    readMembers(value, mapping, true);
    const { modelName, modelVersion } = target;
    return {
      modelName,
      modelVersion,
      id: id === undefined ? "" : wholeText(id),
      parameters: mapping.parameters,
      inputs: mapping.found,
      outputs: [],
    };
  });
}

function readMembers(value: WireObject, mapping: Mapping, top: boolean): void {
  for (const name of Object.keys(value)) {
    const member = value[name] ?? null;
    const input = mapping.inputs.get(name);
    if (top && name === "parameters") {
      if (input !== undefined) {
        throw new InferenceError("INVALID_ARG", "Keyword 'parameters' for nested schema also given as input tensor name");
      }
      if (!isObject(member)) throw kindFailure("Expected JSON object for keyword: 'parameters'", "JSON non-object as object");
      readMembers(member, mapping, false);
    } else if (input !== undefined) {
      mapping.found.push(readInput(input, member, mapping.how));
    } else if (!(top && name === "id")) {
      if (name.startsWith("triton_")) throw reservedParameter();
      setParameter(mapping.parameters, name, readParameter(name, member, mapping.how.exact));
    }
  }
}

function readInput({ name, datatype, shape }: TensorMetadata, value: WireValue, how: JsonReading): InferInput {
  const values = Array.isArray(value) ? value : [value];
  const wireShape = shapeFor(name, shape, values.length);
  return { name, dataType: datatype, shape: wireShape, data: readJsonData({ name, dataType: datatype }, values, values.length, how) };
}

/** The model's shape, with all elements in the innermost dimension that is free; other free ones are 1. */
function shapeFor(name: string, modelShape: readonly number[], count: number): number[] {
  let left = count;
  for (const dimension of modelShape) if (dimension !== -1) left /= dimension;
  const shape = [...modelShape];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== -1) continue;
    shape[axis] = left;
    left = 1;
  }
  if (left === 1 && shape.every(Number.isSafeInteger)) return shape;
  throw new InferenceError("INVALID_ARG", `The schema can not convert input '${name}' to tensor with proper shape`);
}

/**
 * A response of the generate routes: a flat object of JSON. An output of one element is that element, others are flat lists.
 *
 * @throws InferenceError `INVALID_ARG` for 16-bit floats, which JSON does not carry
 */
export function writeGenerateResponse({ id, modelName, modelVersion, parameters, outputs }: InferResponse): string {
  const members = new Map<string, string>();
  if (id !== "") members.set("id", JSON.stringify(id));
  members.set("model_name", JSON.stringify(modelName));
  members.set("model_version", JSON.stringify(modelVersion));
  for (const [name, value] of Object.entries(parameters)) if (!members.has(name)) members.set(name, jsonParameter(value));
  for (const { name, dataType, data } of outputs) {
    if (members.has(name)) continue;
    const elements = jsonElements(dataType, data);
    members.set(name, data.length === 1 ? elements : `[${elements}]`);
  }
  // Triton keeps them in a sorted map.
  const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${sorted.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
}

/** One item of the generate stream: a server-sent event. */
export function generateEvent(json: string): string {
  return `data: ${json}\n\n`;
}
