import { sizeOfShape } from "../tensor/shape.ts";
import type { DataType } from "../tensor/data-type.ts";
import type { InferOutput } from "./inference.ts";
import { InferenceError } from "./inference-error.ts";

/** What the classes of an output are called, and where they are. */
export interface ClassificationOptions {
  /** Whether axis 0 is a batch, each row of which gets classes of its own. */
  readonly batched: boolean;
  /** The name of each class, by its index; one that is empty or missing has none. @default none */
  readonly labels?: readonly string[] | undefined;
}

const notNumeric: ReadonlySet<DataType> = new Set(["BOOL", "FP16", "BF16", "BYTES"]);
// Up to here the best are gathered in one pass; beyond it, sorting all of them is faster.
const fewClasses = 100;

/**
 * The `k` best classes of an output instead of its values: a tensor of BYTES whose elements are `value:index` or `value:index:label`,
 * the largest value first. Of equal values the lower index comes first, and NaN after all others.
 *
 * @throws InferenceError `INVALID_ARG` for data types whose values can't be compared
 */
export function classify(output: InferOutput, k: number, { batched, labels = [] }: ClassificationOptions): InferOutput {
  const { name, dataType, shape, data } = output;
  if (notNumeric.has(dataType) || !ArrayBuffer.isView(data)) {
    throw new InferenceError("INVALID_ARG", `class result not available for output due to unsupported type '${dataType}'`);
  }
  const hasBatch = batched && shape.length > 0;
  const rows = hasBatch ? (shape[0] ?? 0) : 1;
  const classes = sizeOfShape(hasBatch ? shape.slice(1) : shape);
  const count = Math.min(k, classes);
  const isFloat = dataType === "FP32" || dataType === "FP64";
  const texts: string[] = [];
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * classes, (row + 1) * classes);
    for (const index of bestOf(values, count)) {
      const value = values[index] ?? 0;
      const label = labels[index] ?? "";
      texts.push(`${isFloat ? floatText(Number(value)) : String(value)}:${index}${label === "" ? "" : `:${label}`}`);
    }
  }
  return { name, dataType: "BYTES", shape: hasBatch ? [rows, count] : [count], data: texts, parameters: output.parameters };
}

type Values = ArrayLike<number> | ArrayLike<bigint>;

/** The indices of the `count` largest values, the largest first. */
function bestOf(values: Values, count: number): number[] {
  if (count === 0) return [];
  if (count > fewClasses) {
    const all = Array.from({ length: values.length }, (_, index) => index);
    return all.sort((a, b) => (isBetter(values, a, b) ? -1 : isBetter(values, b, a) ? 1 : a - b)).slice(0, count);
  }
  const best: number[] = [];
  for (let index = 0; index < values.length; index++) {
    if (best.length === count && !isBetter(values, index, best[count - 1] ?? 0)) continue;
    let at = best.length;
    while (at > 0 && isBetter(values, index, best[at - 1] ?? 0)) at--;
    best.splice(at, 0, index);
    if (best.length > count) best.pop();
  }
  return best;
}

function isBetter(values: Values, a: number, b: number): boolean {
  const [first = 0, second = 0] = [values[a], values[b]];
  return first > second || (Number.isNaN(second) && !Number.isNaN(first));
}

/** A float as `std::to_string` writes it: six digits behind the point, halves rounded to even; `nan`, `inf`, and digits up to the last. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  // From there on toFixed gives an exponent, and every number is whole.
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.000000`;
  if (value === 0) return Object.is(value, -0) ? "-0.000000" : "0.000000";
  const rounded = value.toFixed(6);
  // Only an odd number of 128ths lies in the middle between two of these, and toFixed rounds that away from zero.
  if (Math.abs((value * 128) % 2) !== 1) return rounded;
  const cut = value.toFixed(7).slice(0, -1);
  return "02468".includes(cut.at(-1) ?? "") ? cut : rounded;
}
