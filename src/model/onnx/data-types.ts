import type { DataType } from "../../tensor/data-type.ts";

/** onnxruntime's name of each data type; `BF16` has none that it can pass. */
interface OnnxTypeMap {
  readonly BOOL: "bool";
  readonly INT8: "int8";
  readonly INT16: "int16";
  readonly INT32: "int32";
  readonly INT64: "int64";
  readonly UINT8: "uint8";
  readonly UINT16: "uint16";
  readonly UINT32: "uint32";
  readonly UINT64: "uint64";
  readonly FP16: "float16";
  readonly FP32: "float32";
  readonly FP64: "float64";
  readonly BYTES: "string";
}

const onnxTypes: OnnxTypeMap = {
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
};

/** The data types that onnxruntime-node can pass. */
export type OnnxDataType = keyof OnnxTypeMap;

/** What onnxruntime-node calls them. */
export type OnnxTypeName = OnnxTypeMap[OnnxDataType];

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
