import type { DataType } from "../tensor/data-type.ts";
import type { TritonDataType } from "./model-config.ts";

/** A configuration's name of each data type of the wire: the same behind `TYPE_`, but for text. */
export function tritonTypeOf(dataType: DataType): Exclude<TritonDataType, "TYPE_INVALID"> {
  return dataType === "BYTES" ? "TYPE_STRING" : `TYPE_${dataType}`;
}

/** The wire's name of a configuration's data type; undefined for `TYPE_INVALID`. */
export function dataTypeOfTriton(type: TritonDataType): DataType | undefined {
  return byTritonType.get(type);
}

const byTritonType: ReadonlyMap<TritonDataType, DataType> = new Map(
  (
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16", "BYTES"] as const
  ).map((dataType) => [tritonTypeOf(dataType), dataType]),
);
