/** The inputs that the server makes for the requests of sequences: controls and states. */
import { join } from "node:path";
import { ServableError } from "../../errors.ts";
import { byteSizeOf, type DataType } from "../../tensor/data-type.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { sizeOfShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { resolveInside } from "../../triton/repository/inside.ts";
import { dimsOf } from "../../triton/rules/model-tensors.ts";
import { readDataFile, zeros } from "../backend/data-file.ts";
import type { LoadedSpecs } from "../model-service.ts";
import { controlPlansOf, SequenceControls, type ControlPlan } from "./sequence-controls.ts";
import { shapesKey, statePlansOf, statesIn, type StatePlan } from "./sequence-states.ts";
import type { Correlation, CorrelationId } from "./correlation.ts";

const mostStateBytes = 2 ** 31;

/** Knows how a sequence begins, what each of its requests tells the model, and what it leaves behind. */
export class SequenceTensors {
  readonly #model: string;
  readonly #batched: boolean;
  readonly #controlPlans: readonly ControlPlan[];
  readonly #statePlans: readonly StatePlan[];
  #controls: SequenceControls;
  #initial: NamedArrays = {};

  /** @throws ServableError `invalid_config` */
  constructor(config: ModelConfig) {
    const batching = config.sequenceBatching ?? {};
    this.#model = config.name ?? "";
    this.#batched = (config.maxBatchSize ?? 0) > 0;
    this.#controlPlans = controlPlansOf(batching);
    this.#statePlans = statePlansOf(batching);
    this.#controls = new SequenceControls(this.#model, this.#controlPlans, () => this.#shape([1]));
  }

  /** The states of a sequence that begins; nobody changes them. */
  get initial(): NamedArrays {
    return this.#initial;
  }

  /** @throws InferenceError `INVALID_ARG` for an id that the model can't be told */
  checkId(id: CorrelationId): void {
    this.#controls.checkId(id);
  }

  /** What the model is told of one request. */
  controls(correlation: Correlation): NamedArrays {
    return this.#controls.of(correlation);
  }

  /** What the next run gets of this one. @throws ServableError `invalid_output` */
  next(outputs: NamedArrays): NamedArrays {
    return statesIn(outputs, this.#statePlans, this.#model);
  }

  /** Only runs of one key can share a batch. */
  key(states: NamedArrays): string {
    return shapesKey(states, this.#statePlans);
  }

  /**
   * Makes the initial states.
   *
   * @param folder - the model's
   * @throws ServableError `load_failed` where a data file is not what it should be
   */
  async load(folder: string): Promise<void> {
    const states: [string, Tensor][] = [];
    for (const plan of this.#statePlans) states.push([plan.input, await this.#initialState(plan, folder)]);
    this.#initial = Object.fromEntries(states);
  }

  /**
   * Compares with what the loaded model takes and gives.
   *
   * @throws ServableError `invalid_config`
   */
  check({ inputs, outputs }: LoadedSpecs): void {
    const all = [
      ...this.#controlPlans.map(({ name, dataType }) => ({ side: inputs, field: "control_input", name, dataType, shape: [1] })),
      ...this.#statePlans.flatMap(({ input, output, dataType, initialShape }) => [
        { side: inputs, field: "state input", name: input, dataType, shape: initialShape },
        { side: outputs, field: "state output", name: output, dataType, shape: undefined },
      ]),
    ];
    const scalars = new Set<string>();
    for (const { side, field, name, dataType, shape } of all) {
      const spec = side.find((tensor) => tensor.name === name);
      if (spec === undefined) throw this.#wrong(`the model has no tensor '${name}' for its ${field}`);
      if (spec.dataType !== dataType) throw this.#wrong(`${field} '${name}' is ${dataType}, and the model's is ${spec.dataType}`);
      if (shape === undefined) continue;
      const dims = dimsOf(spec);
      const whole = this.#shape(shape);
      // A scalar is configured as [ 1 ].
      if (dims.length === 0 && whole.length === 1 && whole[0] === 1) scalars.add(name);
      else if (dims.length !== whole.length || !dims.every((length, axis) => length === -1 || length === whole[axis])) {
        throw this.#wrong(`${field} '${name}' is [${whole.join(", ")}], and the model's is [${dims.join(", ")}]`);
      }
    }
    if (scalars.size === 0) return;
    this.#controls = new SequenceControls(this.#model, this.#controlPlans, (name) => (scalars.has(name) ? [] : this.#shape([1])));
    this.#initial = Object.fromEntries(
      Object.entries(this.#initial).map(([name, state]) => [name, scalars.has(name) ? new Tensor(state.dataType, [], state.data) : state]),
    );
  }

  #wrong(what: string): ServableError {
    return new ServableError("invalid_config", `The configuration of model '${this.#model}' is wrong: sequence_batching: ${what}.`);
  }

  #shape(shape: readonly number[]): readonly number[] {
    return this.#batched ? [1, ...shape] : shape;
  }

  async #initialState({ input, dataType, initialShape, file }: StatePlan, folder: string): Promise<Tensor> {
    const size = sizeOfShape(initialShape);
    if (size * bytesOf(dataType) > mostStateBytes) throw this.#wrong(`state '${input}' has more than 2 GiB`);
    if (file === undefined) return new Tensor(dataType, this.#shape(initialShape), zeros(dataType, size));
    const what = `the data file '${file}' of the initial state '${input}'`;
    const path = await resolveInside(join(folder, "initial_state"), file, what, "the model's folder initial_state");
    if (path === undefined) throw new ServableError("load_failed", `${what} is not there`);
    const data = await readDataFile(path, { setting: "initial_state", name: input, dataType, size });
    return new Tensor(dataType, this.#shape(initialShape), data);
  }
}

/** Of a text as much as a reference takes. */
function bytesOf(dataType: DataType): number {
  return byteSizeOf(dataType) ?? 8;
}

/** Inputs that a client does not send, by name: shapes without the batch's axis. */
export type MadeInputs = ReadonlyMap<string, { readonly dataType: DataType; readonly shape: readonly number[] }>;

/** The inputs that the server makes for requests of sequences. */
export function sequenceInputShapes({ sequenceBatching }: ModelConfig): MadeInputs {
  if (sequenceBatching === undefined) return new Map();
  return new Map([
    ...controlPlansOf(sequenceBatching).map(({ name, dataType }) => [name, { dataType, shape: [1] }] as const),
    ...statePlansOf(sequenceBatching).map(({ input, dataType, initialShape }) => [input, { dataType, shape: initialShape }] as const),
  ]);
}
