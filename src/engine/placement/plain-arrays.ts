import type { DataType, TensorData } from "../../tensor/data-type.ts";
import { mapArrays, setNamed, type NamedArrays } from "../../tensor/named-arrays.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { transferBytes } from "./pack-bytes.ts";

/** Named arrays as plain data: class instances lose their prototypes on the way to another thread. */
export type PlainArrays = Readonly<
  Record<string, { readonly dataType: DataType; readonly shape: readonly number[]; readonly data: TensorData }>
>;

/** Who else holds arrays: somebody; nobody; or nobody, nor the larger memory that they are views on. */
export type Owned = false | "arrays" | "memory";

/**
 * Makes arrays ready to cross. A view on a larger buffer is cut out of it first, but where it and others that cross are most of it, and the memory is
 * owned; what was cut out, and what is owned, is handed over where it is large, else copied.
 */
export function packArrays(named: NamedArrays, owned: Owned): { readonly arrays: PlainArrays; readonly transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const arrays = mapArrays(named, ({ dataType, shape, data }) => {
    if (!ArrayBuffer.isView(data)) return { dataType, shape, data };
    const whole = data.byteLength === data.buffer.byteLength;
    const isLarge = data.byteLength >= transferBytes;
    const asItIs = whole || (owned === "memory" && isLarge && isMostlyOf(named, data.buffer));
    const packed = asItIs ? data : data.slice();
    const { buffer } = packed;
    if ((owned !== false || !asItIs) && isLarge && buffer instanceof ArrayBuffer && !transfer.includes(buffer)) transfer.push(buffer);
    return { dataType, shape, data: packed };
  });
  return { arrays, transfer };
}

/** Whether little else is in a buffer than what crosses: that goes along, unread. */
function isMostlyOf(named: NamedArrays, buffer: ArrayBufferLike): boolean {
  if (!(buffer instanceof ArrayBuffer)) return false;
  let used = 0;
  for (const { data } of Object.values(named)) if (ArrayBuffer.isView(data) && data.buffer === buffer) used += data.byteLength;
  return used * 4 >= buffer.byteLength * 3;
}

/** Makes tensors of plain data again. */
export function unpackArrays(arrays: PlainArrays): NamedArrays {
  const named: Record<string, Tensor> = {};
  for (const name of Object.keys(arrays)) {
    const plain = arrays[name];
    if (plain !== undefined) setNamed(named, name, new Tensor(plain.dataType, plain.shape, plain.data));
  }
  return named;
}
