import type { DataType, TensorData } from "../../tensor/data-type.ts";
import { InferenceError } from "../inference-error.ts";
import type { InferParameter, InferParameters } from "../inference.ts";

/** A float as Triton writes it: the digits of the double that it is, always with a fraction or an exponent; NaN and Infinity as such. */
function floatText(value: number): string {
  // `| 0` picks the small whole numbers, zeros of either sign among them.
  if (value === (value | 0)) return value === 0 && 1 / value < 0 ? "-0.0" : `${value}.0`;
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return `${value}.0`;
  // Triton's writer puts no + before an exponent.
  return value >= 1e21 || value <= -1e21 ? String(value).replace("e+", "e") : String(value);
}

/**
 * The elements of a tensor as the inside of a JSON array, flat. Texts are whole; elements that are bytes become text as UTF-8, with
 * U+FFFD for what is none.
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
    let text = floatText(data[0] ?? NaN);
    for (let index = 1; index < data.length; index++) text += "," + floatText(data[index] ?? NaN);
    return text;
  }
  if (dataType === "BOOL") return boolElements(data);
  if (ArrayBuffer.isView(data)) {
    let text = String(data[0]);
    for (let index = 1; index < data.length; index++) text += "," + String(data[index]);
    return text;
  }
  const strings = data.map((element) => JSON.stringify(typeof element === "string" ? element : decoder.decode(element)));
  return strings.join(",");
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

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
    if (value !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${parameterText(value)}`;
  }
  return text === "" ? undefined : `{${text}}`;
}

function parameterText(value: InferParameter): string {
  if (typeof value === "bigint") return String(value);
  return typeof value === "number" && !Number.isInteger(value) ? floatText(value) : JSON.stringify(value);
}
