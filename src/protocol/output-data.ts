import { messageOf } from "../errors.ts";
import { arrayTypes, type DataType, type TensorData } from "../tensor/data-type.ts";
import { dataOfBytes, readStrings } from "./elements.ts";
import { InferenceError } from "./inference-error.ts";

/**
 * The elements of an output of an answer out of its bytes; a view on them where they are aligned.
 *
 * @param size - how many elements its shape has room for
 * @throws InferenceError `INTERNAL` where there are more or fewer
 */
export function dataOfOutput(name: string, dataType: DataType, size: number, bytes: Uint8Array): TensorData {
  if (dataType === "BYTES") {
    try {
      return readStrings(bytes, size, name, { modelName: "", requestId: "" });
    } catch (thrown) {
      throw new InferenceError("INTERNAL", `The output '${name}' can't be read: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
  const expected = size * arrayTypes[dataType].BYTES_PER_ELEMENT;
  if (bytes.byteLength === expected) return dataOfBytes(dataType, bytes);
  throw new InferenceError("INTERNAL", `The output '${name}' has ${bytes.byteLength} bytes, its shape room for ${expected}.`);
}

/**
 * Checks that a typed array holds the numbers that it was made of: typed arrays cut off what has no room in them, which of requests is wanted and of
 * answers a wrong result.
 *
 * @param given - nested or flat
 * @throws InferenceError `INTERNAL`
 */
export function checkCutOff(name: string, dataType: DataType, data: TensorData, given: readonly unknown[]): void {
  if (!/^U?INT(8|16|32)$/.test(dataType)) return;
  const elements = given.flat(Infinity);
  const index = elements.findIndex((value, at) => value !== data[at]);
  if (index !== -1)
    throw new InferenceError("INTERNAL", `The output '${name}' has ${String(elements[index])} in it, which is no ${dataType}.`);
}
