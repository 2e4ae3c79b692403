import { arrayTypes, isDataType, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { textOrBytes } from "../elements.ts";
import { InferenceError } from "../inference-error.ts";
import type { inference } from "./generated/messages.js";
import { readBigint } from "./int64.ts";
import { isSet } from "./is-set.ts";

type WireContents = inference.InferTensorContents.$Properties;

/** Each typed field, the data types that it may stand for, and what it is called where it stands for another. */
const fields: readonly { readonly field: Exclude<keyof WireContents, "$unknowns">; readonly types: readonly DataType[] }[] = [
  { field: "boolContents", types: ["BOOL"] },
  { field: "intContents", types: ["INT32", "INT16", "INT8"] },
  { field: "int64Contents", types: ["INT64"] },
  { field: "uintContents", types: ["UINT32", "UINT16", "UINT8"] },
  { field: "uint64Contents", types: ["UINT64"] },
  { field: "fp32Contents", types: ["FP32"] },
  { field: "fp64Contents", types: ["FP64"] },
  { field: "bytesContents", types: ["BYTES"] },
];

/** What texts of failures name. */
export interface ContentsPlace {
  readonly input: string;
  readonly model: string;
}

/**
 * The data of an input that came in typed fields. FP16 and BF16 have none, and come as raw bytes only.
 *
 * @throws InferenceError `INVALID_ARG`
 */
export function readContents(contents: WireContents, dataType: string, place: ContentsPlace): TensorData {
  let data: TensorData | undefined;
  for (const { field, types } of fields) {
    const values = contents[field];
    if (!isSet(values) || values.length === 0) continue;
    const where = `unexpected explicit tensor data for input tensor '${place.input}' for model '${place.model}'`;
    if (data !== undefined) throw new InferenceError("INVALID_ARG", `${where}, binary data was already supplied.`);
    if (!isDataType(dataType) || !types.includes(dataType)) {
      throw new InferenceError("INVALID_ARG", `${where} of type '${types[0] ?? ""}', expected datatype '${dataType}'`);
    }
    data = read(contents, dataType);
  }
  if (data !== undefined) return data;
  // Nothing at all is what a tensor without elements looks like; one that should have some fails for its size.
  return isDataType(dataType) && dataType !== "BYTES" ? new arrayTypes[dataType](0) : [];
}

function read(contents: WireContents, dataType: DataType): TensorData {
  switch (dataType) {
    case "BOOL":
      return Uint8Array.from(contents.boolContents ?? [], Number);
    case "INT8":
      return Int8Array.from(contents.intContents ?? []);
    case "INT16":
      return Int16Array.from(contents.intContents ?? []);
    case "INT32":
      return Int32Array.from(contents.intContents ?? []);
    case "INT64":
      return BigInt64Array.from(contents.int64Contents ?? [], readBigint);
    case "UINT8":
      return Uint8Array.from(contents.uintContents ?? []);
    case "UINT16":
      return Uint16Array.from(contents.uintContents ?? []);
    case "UINT32":
      return Uint32Array.from(contents.uintContents ?? []);
    case "UINT64":
      return BigUint64Array.from(contents.uint64Contents ?? [], readBigint);
    case "FP32":
      return Float32Array.from(contents.fp32Contents ?? []);
    case "FP64":
      return Float64Array.from(contents.fp64Contents ?? []);
    case "BYTES":
      return (contents.bytesContents ?? []).map(textOrBytes);
    case "FP16":
    case "BF16":
      return new Uint16Array(0);
  }
}
