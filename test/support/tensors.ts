import fc from "fast-check";
import type { DataType } from "../../src/tensor/data-type.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

function arrayOf(dataType: Exclude<DataType, "BYTES">, length: number): fc.Arbitrary<Tensor> {
  switch (dataType) {
    case "BOOL":
      return fc.uint8Array({ minLength: length, maxLength: length, max: 1 }).map((data) => new Tensor(dataType, [length], data));
    case "UINT8":
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "INT8":
      return fc.int8Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "INT16":
      return fc.int16Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "UINT16":
    case "FP16":
    case "BF16":
      return fc.uint16Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "INT32":
      return fc.int32Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "UINT32":
      return fc.uint32Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "INT64":
      return fc.bigInt64Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "UINT64":
      return fc.bigUint64Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "FP32":
      return fc.float32Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
    case "FP64":
      return fc.float64Array({ minLength: length, maxLength: length }).map((data) => new Tensor(dataType, [length], data));
  }
}

/** A tensor of a data type and shape, with any elements. */
export function anyTensor<D extends DataType>(dataType: D, shape: readonly number[]): fc.Arbitrary<Tensor<D>> {
  const size = shape.reduce((product, length) => product * length, 1);
  const flat: fc.Arbitrary<Tensor> =
    dataType === "BYTES"
      ? fc
          .array(fc.oneof(fc.string({ unit: "grapheme" }), fc.uint8Array()), { minLength: size, maxLength: size })
          .map((data) => new Tensor("BYTES", [size], data))
      : arrayOf(dataType, size);
  return flat.map((tensor) => new Tensor(tensor.dataType, shape, tensor.data).as(dataType));
}

/** Several tensors of one data type and one shape but for their rows. */
export function anyStackable<D extends DataType>(dataType: D): fc.Arbitrary<Tensor<D>[]> {
  const lengths = fc.array(fc.nat(3), { maxLength: 2 });
  const rows = fc.array(fc.nat(4), { minLength: 1, maxLength: 5 });
  return fc.tuple(lengths, rows).chain(([rest, counts]) => fc.tuple(...counts.map((count) => anyTensor(dataType, [count, ...rest]))));
}
