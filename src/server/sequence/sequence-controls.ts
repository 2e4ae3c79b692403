import { InferenceError } from "../../protocol/inference-error.ts";
import type { DataType } from "../../tensor/data-type.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { dataTypeOfTriton } from "../../triton/data-types.ts";
import type { ModelSequenceBatching, ModelSequenceControl } from "../../triton/model-config.ts";
import type { Correlation, CorrelationId } from "./correlation.ts";

/** An input by which the model is told something of the sequence. */
export interface ControlPlan {
  readonly name: string;
  readonly kind: "START" | "END" | "READY" | "CORRID";
  readonly dataType: DataType;
  /** What stands for false and for true; nothing for an id. */
  readonly values: readonly [falseValue: number, trueValue: number];
}

/** The control inputs that a configuration asks for. */
export function controlPlansOf({ controlInput = [] }: ModelSequenceBatching): readonly ControlPlan[] {
  return controlInput.flatMap(({ name = "", control = [] }) => control.map((one) => planOf(name, one)));
}

function planOf(name: string, { kind, int32FalseTrue, fp32FalseTrue, boolFalseTrue, dataType }: ModelSequenceControl): ControlPlan {
  if (kind === "CONTROL_SEQUENCE_CORRID") {
    return { name, kind: "CORRID", dataType: dataTypeOfTriton(dataType ?? "TYPE_INVALID") ?? "UINT64", values: [0, 0] };
  }
  const short = kind === "CONTROL_SEQUENCE_END" ? "END" : kind === "CONTROL_SEQUENCE_READY" ? "READY" : "START";
  const pair = (list: readonly (number | boolean)[]): readonly [number, number] => [Number(list[0]), Number(list[1])];
  if (int32FalseTrue?.length) return { name, kind: short, dataType: "INT32", values: pair(int32FalseTrue) };
  if (fp32FalseTrue?.length) return { name, kind: short, dataType: "FP32", values: pair(fp32FalseTrue) };
  return { name, kind: short, dataType: "BOOL", values: pair(boolFalseTrue ?? [false, true]) };
}

/** Makes the control inputs of requests. */
export class SequenceControls {
  readonly #model: string;
  /** By whether the request starts, and whether it ends, its sequence. */
  readonly #flags: readonly NamedArrays[];
  readonly #ids: readonly { readonly plan: ControlPlan; readonly shape: readonly number[] }[];

  /** @param shapeOf - the shape of one element, as the model has it */
  constructor(model: string, plans: readonly ControlPlan[], shapeOf: (name: string) => readonly number[]) {
    this.#model = model;
    this.#flags = [0, 1, 2, 3].map((flags) =>
      Object.fromEntries(
        plans.flatMap(({ name, kind, dataType, values }) => {
          if (kind === "CORRID") return [];
          // Only what is run gets here, so that it is ready: rows of idle slots are not made up.
          const isTrue = kind === "READY" || (kind === "START" ? (flags & 1) > 0 : (flags & 2) > 0);
          return [[name, flagTensor(dataType, shapeOf(name), values[isTrue ? 1 : 0])]];
        }),
      ),
    );
    this.#ids = plans.flatMap((plan) => (plan.kind === "CORRID" ? { plan, shape: shapeOf(plan.name) } : []));
  }

  /** @throws InferenceError `INVALID_ARG` where the model takes numbers and the id is a text */
  checkId(id: CorrelationId): void {
    if (typeof id !== "string") return;
    const wrong = this.#ids.find(({ plan }) => plan.dataType !== "BYTES");
    if (wrong === undefined) return;
    throw new InferenceError(
      "INVALID_ARG",
      `inference request for sequence ${id} to model '${this.#model}' must have an integer as its correlation ID: the model takes it as ${wrong.plan.dataType}`,
    );
  }

  /** The inputs for one request. */
  of({ id, start, end }: Correlation): NamedArrays {
    const flags = this.#flags[(start ? 1 : 0) + (end ? 2 : 0)] ?? {};
    if (this.#ids.length === 0) return flags;
    return { ...flags, ...Object.fromEntries(this.#ids.map(({ plan, shape }) => [plan.name, idTensor(plan.dataType, shape, id)])) };
  }
}

function flagTensor(dataType: DataType, shape: readonly number[], value: number): Tensor {
  if (dataType === "INT32") return new Tensor("INT32", shape, Int32Array.of(value));
  if (dataType === "FP32") return new Tensor("FP32", shape, Float32Array.of(value));
  return new Tensor("BOOL", shape, Uint8Array.of(value));
}

/** As Triton does, of an id that is too long for the type its low bits; a number for a model that takes texts is written out. */
function idTensor(dataType: DataType, shape: readonly number[], id: CorrelationId): Tensor {
  if (dataType === "BYTES") return new Tensor("BYTES", shape, [String(id)]);
  const whole = BigInt(id);
  if (dataType === "INT64") return new Tensor("INT64", shape, BigInt64Array.of(BigInt.asIntN(64, whole)));
  if (dataType === "INT32") return new Tensor("INT32", shape, Int32Array.of(Number(BigInt.asIntN(32, whole))));
  if (dataType === "UINT32") return new Tensor("UINT32", shape, Uint32Array.of(Number(BigInt.asUintN(32, whole))));
  return new Tensor("UINT64", shape, BigUint64Array.of(whole));
}
