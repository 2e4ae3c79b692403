import type { DataType, TensorData } from "../../tensor/data-type.ts";
import { InferenceError } from "../inference-error.ts";
import type { InferParameter, InferParameters } from "../inference.ts";
import { decodeBody, rawBytes } from "./read-text.ts";

// So that a large tensor is not copied as a whole on its way to text.
const chunkLength = 16_384;

/** A float as Triton writes it: the digits of the double that it is, always with a fraction or an exponent; NaN and Infinity as such. */
function floatText(value: number): string {
  // `| 0` picks the small whole numbers, zeros of either sign among them.
  if (value === (value | 0)) return value === 0 && 1 / value < 0 ? "-0.0" : `${value}.0`;
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return `${value}.0`;
  // Triton's writer puts no + before an exponent.
  return value >= 1e21 || value <= -1e21 ? String(value).replace("e+", "e") : String(value);
}

/** Floats, all of them at once where JSON.stringify writes them as Triton does: it is twice as fast as one after the other. */
function floatElements(data: Float32Array | Float64Array, start: number, end: number): string {
  const values: number[] = [];
  for (let index = start; index < end; index++) {
    const value = data[index] ?? NaN;
    if (Number.isInteger(value) || !Number.isFinite(value)) return floatsOneByOne(data, start, end);
    values.push(value);
  }
  return JSON.stringify(values).slice(1, -1);
}

function floatsOneByOne(data: Float32Array | Float64Array, start: number, end: number): string {
  let text = floatText(data[start] ?? NaN);
  for (let index = start + 1; index < end; index++) text += "," + floatText(data[index] ?? NaN);
  return text;
}

/**
 * The elements of a tensor as the inside of a JSON array, flat.
 *
 * @throws InferenceError `INVALID_ARG` for 16-bit floats, which JSON does not carry
 */
export function jsonElements(dataType: DataType, data: TensorData): string {
  if (dataType === "FP16" || dataType === "BF16") {
    const text = `sending ${dataType} data via JSON is not supported. Please use the binary data format for output`;
    throw new InferenceError("INVALID_ARG", text);
  }
  if (data.length === 0) return "";
  if (data instanceof Float32Array || data instanceof Float64Array) {
    let text = floatElements(data, 0, Math.min(chunkLength, data.length));
    for (let start = chunkLength; start < data.length; start += chunkLength) {
      text += "," + floatElements(data, start, Math.min(start + chunkLength, data.length));
    }
    return text;
  }
  if (dataType === "BOOL") return boolElements(data);
  if (ArrayBuffer.isView(data)) {
    let text = String(data[0]);
    for (let index = 1; index < data.length; index++) text += "," + String(data[index]);
    return text;
  }
  return data.map(stringText).join(",");
}

/** A text in quotes. Bytes that are not UTF-8 stand in it as lone surrogates, out of which `wireJson` makes them again. */
function stringText(element: string | Uint8Array): string {
  if (typeof element === "string") return JSON.stringify(element);
  const { text, sound } = decodeBody(element);
  // JSON.stringify would write out lone surrogates as escapes.
  return sound ? JSON.stringify(text) : `"${text.replace(/["\\\u0000-\u001f]/g, (character) => JSON.stringify(character).slice(1, -1))}"`;
}

/** JSON as it goes out: as text, but with the bytes of elements that are not UTF-8 as they are, which is how Triton writes them. */
export function wireJson(json: string): string | Uint8Array {
  return rawBytes(json);
}

function boolElements(data: TensorData): string {
  let text = data[0] ? "true" : "false";
  for (let index = 1; index < data.length; index++) text += data[index] ? ",true" : ",false";
  return text;
}

/** Parameters as JSON; undefined where there are none. */
export function jsonParameters(parameters: InferParameters | undefined): string | undefined {
  if (parameters === undefined) return undefined;
  let text = "";
  for (const name of Object.keys(parameters)) {
    const value = parameters[name];
    if (value !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${jsonParameter(value)}`;
  }
  return text === "" ? undefined : `{${text}}`;
}

/** One parameter as JSON. */
export function jsonParameter(value: InferParameter): string {
  if (typeof value === "bigint") return String(value);
  return typeof value === "number" && !Number.isInteger(value) ? floatText(value) : JSON.stringify(value);
}
