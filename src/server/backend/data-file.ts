import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { ServableError } from "../../errors.ts";
import { dataOfBytes, readStrings } from "../../protocol/elements.ts";
import { arrayTypes, byteSizeOf, type DataType, type TensorData } from "../../tensor/data-type.ts";

/** What a data file of a model's folder is read for. */
export interface DataFileOptions {
  /** Names the setting that wants it, and the tensor, in messages. */
  readonly setting: string;
  readonly name: string;
  readonly dataType: DataType;
  /** How many elements are wanted; of a longer file the rest is not looked at. */
  readonly size: number;
}

/** As many zeros, or empty texts. */
export function zeros(dataType: DataType, size: number): TensorData {
  return dataType === "BYTES" ? new Array<string>(size).fill("") : new arrayTypes[dataType](size);
}

/**
 * Elements from a file: little-endian and row-major; texts with their lengths.
 *
 * @throws ServableError `load_failed` where it can't be read, or has too little in it
 */
export async function readDataFile(path: string, { setting, name, dataType, size }: DataFileOptions): Promise<TensorData> {
  const content = await readFile(path).catch((error: unknown) => {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new ServableError("load_failed", `its data file ${basename(path)} can't be read (${code})`, { cause: error });
  });
  const elementBytes = byteSizeOf(dataType);
  if (dataType === "BYTES" || elementBytes === undefined) return readStrings(content, size, name, { modelName: setting, requestId: "" });
  const wanted = size * elementBytes;
  if (content.byteLength < wanted) {
    const has = `the data provided from ${basename(path)} only has ${content.byteLength} bytes`;
    throw new ServableError("load_failed", `${setting} setting expects ${wanted} bytes, but ${has}`);
  }
  // A Buffer may lie anywhere in shared memory, its copy does not.
  return dataOfBytes(dataType, new Uint8Array(content.subarray(0, wanted)));
}
