import type { DataType } from "../../tensor/data-type.ts";

/** onnxruntime's name of each data type; `BF16` has none that it can pass. */
const onnxTypes = {
  BOOL: "bool",
  INT8: "int8",
  INT16: "int16",
  INT32: "int32",
  INT64: "int64",
  UINT8: "uint8",
  UINT16: "uint16",
  UINT32: "uint32",
  UINT64: "uint64",
  FP16: "float16",
  FP32: "float32",
  FP64: "float64",
  BYTES: "string",
} as const satisfies Partial<Record<DataType, string>>;

/** The data types that onnxruntime-node can pass. */
export type OnnxDataType = keyof typeof onnxTypes;

/** What onnxruntime-node calls them. */
export type OnnxTypeName = (typeof onnxTypes)[OnnxDataType];

/** Whether onnxruntime-node can pass tensors of a data type. */
export function isOnnxDataType(dataType: DataType): dataType is OnnxDataType {
  return Object.hasOwn(onnxTypes, dataType);
}

/** What onnxruntime-node calls a data type. */
export function onnxTypeOf(dataType: OnnxDataType): OnnxTypeName {
  return onnxTypes[dataType];
}

const dataTypesByName: ReadonlyMap<string, DataType> = new Map(
  Object.entries(onnxTypes).flatMap(([dataType, name]) => (isKey(dataType) ? [[name, dataType]] : [])),
);

function isKey(value: string): value is OnnxDataType {
  return value in onnxTypes;
}

/** The data type that onnxruntime-node calls by this name; undefined where {@link DataType} has none (4-bit integers). */
export function dataTypeOfOnnx(name: string): DataType | undefined {
  return dataTypesByName.get(name);
}
