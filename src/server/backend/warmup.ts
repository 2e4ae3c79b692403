import { join } from "node:path";
import { ServableError, messageOf } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { arrayTypes, type DataType, type TensorData } from "../../tensor/data-type.ts";
import { numberToBf16, numberToFp16 } from "../../tensor/half.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { sizeOfShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { readDataFile, zeros } from "./data-file.ts";

/** One input of a warm-up request, as plain data. */
export interface WarmupInputPlan {
  readonly name: string;
  readonly dataType: DataType;
  /** As the model takes it, without the batch's axis. */
  readonly shape: readonly number[];
  readonly data: "zero" | "random" | "file";
  /** In the model's folder `warmup`. */
  readonly file: string;
}

/** A request that each instance runs before it is ready. */
export interface WarmupPlan {
  readonly name: string;
  /** Rows; undefined for a model without batches. */
  readonly rows: number | null;
  readonly count: number;
  readonly inputs: readonly WarmupInputPlan[];
}

/**
 * Runs a model's warm-up requests.
 *
 * @param folder - the model's
 * @throws ServableError `load_failed` for one that fails
 */
export async function warmUp(model: Pick<Model, "run">, folder: string, plans: readonly WarmupPlan[]): Promise<void> {
  for (const plan of plans) {
    try {
      const inputs: [string, Tensor][] = [];
      for (const input of plan.inputs) inputs.push([input.name, await tensorOf(input, plan.rows, join(folder, "warmup"))]);
      const named: NamedArrays = Object.fromEntries(inputs);
      for (let run = 0; run < plan.count; run += 1) await model.run(named);
    } catch (thrown) {
      throw new ServableError("load_failed", `failed to run warmup sample '${plan.name}': ${messageOf(thrown)}`, { cause: thrown });
    }
  }
}

async function tensorOf({ name, dataType, shape, data, file }: WarmupInputPlan, rows: number | null, folder: string): Promise<Tensor> {
  const size = sizeOfShape(shape);
  const row =
    data === "file"
      ? await readDataFile(join(folder, file), { setting: "warmup", name, dataType, size })
      : data === "random"
        ? randomRow(dataType, size)
        : zeros(dataType, size);
  return rows === null ? new Tensor(dataType, shape, row) : new Tensor(dataType, [rows, ...shape], repeated(dataType, row, rows));
}

function randomRow(dataType: DataType, size: number): TensorData {
  const row = zeros(dataType, size);
  // Texts at random would mean nothing to any model: Triton leaves them empty, too.
  if (!ArrayBuffer.isView(row)) return row;
  for (let index = 0; index < row.length; index += 1) {
    const value = Math.random();
    if (row instanceof BigInt64Array || row instanceof BigUint64Array) row[index] = BigInt(Math.round(value));
    else if (dataType === "FP16") row[index] = numberToFp16(value);
    else if (dataType === "BF16") row[index] = numberToBf16(value);
    else row[index] = dataType === "FP32" || dataType === "FP64" ? value : Math.round(value);
  }
  return row;
}

function repeated(dataType: DataType, row: TensorData, rows: number): TensorData {
  if (dataType === "BYTES" || !ArrayBuffer.isView(row)) return Array.from({ length: rows }, () => row as readonly string[]).flat();
  const all = new arrayTypes[dataType](row.length * rows);
  const target = new Uint8Array(all.buffer as ArrayBuffer);
  const source = new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
  for (let index = 0; index < rows; index += 1) target.set(source, index * source.length);
  return all;
}
