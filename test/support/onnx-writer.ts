/**
 * Writes small ONNX models, protobuf by hand, so that tests have a model of any shape and data type without a file or Python.
 * Field numbers are those of onnx.proto (IR 8); operators are of set 13.
 */
import type { DataType } from "../../src/tensor/data-type.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** An array that goes into or out of a graph; a dimension is a number where it is fixed, a name where it is free. */
export interface ValueSpec {
  readonly name: string;
  /** `SEQUENCE`: a sequence of float32 tensors. */
  readonly dataType: DataType | "UINT4" | "SEQUENCE";
  readonly shape: readonly (number | string)[];
}

/** One operator. Attributes: whole numbers are written as integers, `float(x)` as a float, lists as integers. */
export interface NodeSpec {
  readonly op: "Add" | "Identity" | "MatMul" | "Relu" | "Gemm" | "Softmax" | "Reshape" | (string & {});
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | { readonly float: number } | readonly number[]>>;
}

/** A graph. */
export interface GraphSpec {
  readonly name?: string;
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  readonly nodes: readonly NodeSpec[];
  /** Constants by name. */
  readonly initializers?: Readonly<Record<string, Tensor>>;
}

/** Marks an attribute as a float. */
export function float(value: number): { readonly float: number } {
  return { float: value };
}

const elementTypes: Readonly<Record<DataType | "UINT4", number>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
  BF16: 16,
  UINT4: 21,
};

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

function integer(field: number, value: number | bigint): Uint8Array {
  return Uint8Array.from([...varint(field << 3), ...varint(value)]);
}

function fixed32(field: number, value: number): Uint8Array {
  return Buffer.concat([Uint8Array.from(varint((field << 3) | 5)), new Uint8Array(new Float32Array([value]).buffer)]);
}

function bytes(field: number, value: Uint8Array | string): Uint8Array {
  const content = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(content.length)]), content]);
}

function message(field: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return bytes(field, Buffer.concat(parts));
}

function valueInfo(field: number, { name, dataType, shape }: ValueSpec): Uint8Array {
  const dimensions = shape.map((length) => message(1, typeof length === "number" ? integer(1, length) : bytes(2, length)));
  const elementType = integer(1, elementTypes[dataType === "SEQUENCE" ? "FP32" : dataType]);
  const tensor = message(1, elementType, message(2, ...dimensions));
  // TypeProto: 1 is a tensor, 4 a sequence of some type (its field 1).
  return message(field, bytes(1, name), message(2, dataType === "SEQUENCE" ? message(4, message(1, tensor)) : tensor));
}

function node({ op, inputs, outputs, attributes = {} }: NodeSpec): Uint8Array {
  return message(
    1,
    ...inputs.map((input) => bytes(1, input)),
    ...outputs.map((output) => bytes(2, output)),
    bytes(4, op),
    ...Object.entries(attributes).map(([name, value]) => {
      if (typeof value === "number") return message(5, bytes(1, name), integer(3, value), integer(20, 2));
      if ("float" in value) return message(5, bytes(1, name), fixed32(2, value.float), integer(20, 1));
      return message(5, bytes(1, name), ...value.map((item) => integer(8, item)), integer(20, 7));
    }),
  );
}

function initializer(name: string, { dataType, shape, data }: Tensor): Uint8Array {
  const content = ArrayBuffer.isView(data)
    ? [bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]
    : data.map((element) => bytes(6, element));
  return message(5, ...shape.map((length) => integer(1, length)), integer(2, elementTypes[dataType]), bytes(8, name), ...content);
}

/** The bytes of an `.onnx` file. */
export function writeOnnx({ name = "graph", inputs, outputs, nodes, initializers = {} }: GraphSpec): Uint8Array {
  return Buffer.concat([
    integer(1, 8),
    message(
      7,
      ...nodes.map(node),
      bytes(2, name),
      ...Object.entries(initializers).map(([key, tensor]) => initializer(key, tensor)),
      ...inputs.map((input) => valueInfo(11, input)),
      ...outputs.map((output) => valueInfo(12, output)),
    ),
    message(8, bytes(1, ""), integer(2, 13)),
  ]);
}

/** A model that gives back its input, `x`, as `y`. */
export function identityModel(dataType: ValueSpec["dataType"], shape: ValueSpec["shape"] = ["batch", 2]): Uint8Array {
  return writeOnnx({
    inputs: [{ name: "x", dataType, shape }],
    outputs: [{ name: "y", dataType, shape }],
    nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
  });
}
