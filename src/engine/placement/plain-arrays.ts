import type { DataType, TensorData } from "../../tensor/data-type.ts";
import { setNamed, type NamedArrays } from "../../tensor/named-arrays.ts";
import { frozenShape, knownSound, Tensor } from "../../tensor/tensor.ts";
import { transferBytes } from "./pack-bytes.ts";

/**
 * Named arrays as plain data: class instances lose their prototypes on the way to another thread. A list, with the four of each array in turn (name, data type,
 * shape, elements): an object each would be written and read with its keys.
 */
export type PlainArrays = readonly (string | readonly number[] | TensorData)[];

/** Who else holds arrays: somebody; nobody; or nobody, nor the larger memory that they are views on. */
export type Owned = false | "arrays" | "memory";

/**
 * Makes arrays ready to cross. A view on a larger buffer is cut out of it first, but where it and others that cross are most of it, and the memory is
 * owned; what was cut out, and what is owned, is handed over where it is large, else copied.
 */
export function packArrays(named: NamedArrays, owned: Owned): { readonly arrays: PlainArrays; readonly transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const arrays: (string | readonly number[] | TensorData)[] = [];
  for (const name of Object.keys(named)) {
    const array = named[name];
    if (array !== undefined) arrays.push(name, array.dataType, array.shape, packed(array.data, named, owned, transfer));
  }
  return { arrays, transfer };
}

/** @param transfer - gets what is to be handed over */
function packed(data: TensorData, named: NamedArrays, owned: Owned, transfer: ArrayBuffer[]): TensorData {
  if (!ArrayBuffer.isView(data)) return data;
  const whole = data.byteLength === data.buffer.byteLength;
  const isLarge = data.byteLength >= transferBytes;
  const asItIs = whole || (owned === "memory" && isLarge && isMostlyOf(named, data.buffer));
  const own = asItIs ? data : data.slice();
  const { buffer } = own;
  if ((owned !== false || !asItIs) && isLarge && buffer instanceof ArrayBuffer && !transfer.includes(buffer)) transfer.push(buffer);
  return own;
}

/** Whether little else is in a buffer than what crosses: that goes along, unread. */
function isMostlyOf(named: NamedArrays, buffer: ArrayBufferLike): boolean {
  if (!(buffer instanceof ArrayBuffer)) return false;
  let used = 0;
  for (const { data } of Object.values(named)) if (ArrayBuffer.isView(data) && data.buffer === buffer) used += data.byteLength;
  return used * 4 >= buffer.byteLength * 3;
}

/** Makes tensors of plain data again. That they are sound was checked where they were made. */
export function unpackArrays(arrays: PlainArrays): NamedArrays {
  const named: Record<string, Tensor> = {};
  for (let at = 0; at < arrays.length; at += 4) {
    const [name, dataType, shape, data] = [arrays[at], arrays[at + 1], arrays[at + 2], arrays[at + 3]];
    setNamed(
      named,
      name as string,
      new Tensor(dataType as DataType, frozenShape(shape as readonly number[]), data as TensorData, knownSound),
    );
  }
  return named;
}
