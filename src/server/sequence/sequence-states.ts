import { ServableError } from "../../errors.ts";
import type { DataType } from "../../tensor/data-type.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { dataTypeOfTriton } from "../../triton/data-types.ts";
import type { ModelSequenceBatching } from "../../triton/model-config.ts";

/** A state that is kept between the requests of a sequence: an output of one run, and an input of the next one. */
export interface StatePlan {
  readonly input: string;
  readonly output: string;
  readonly dataType: DataType;
  /** As it is at the start of a sequence, without the batch's axis: free lengths are 1, unless the initial state says more. */
  readonly initialShape: readonly number[];
  /** Where the initial state is read from, in the model's folder `initial_state`; undefined for zeros. */
  readonly file: string | undefined;
}

/** The states that a configuration asks for. @throws ServableError `invalid_config` for a data type that there is no tensor of */
export function statePlansOf({ state = [] }: ModelSequenceBatching): readonly StatePlan[] {
  return state.map(({ inputName = "", outputName = "", dataType = "TYPE_INVALID", dims = [], initialState = [] }) => {
    const type = dataTypeOfTriton(dataType);
    if (type === undefined) throw new ServableError("invalid_config", `state '${inputName}' has the data type ${dataType}`);
    const [initial] = initialState;
    return {
      input: inputName,
      output: outputName,
      dataType: type,
      initialShape: initial?.dims ?? dims.map((length) => (length === -1 ? 1 : length)),
      file: initial?.dataFile,
    };
  });
}

/**
 * The states that a run gave, for the next one. They are the model's own outputs, not copied; but where a row is a small part of a batch, of
 * which it would keep the whole in memory.
 *
 * @throws ServableError `invalid_output` where one is missing or of another type
 */
export function statesIn(outputs: NamedArrays, plans: readonly StatePlan[], model: string): NamedArrays {
  return Object.fromEntries(
    plans.map(({ input, output, dataType }) => {
      const array = Object.hasOwn(outputs, output) ? outputs[output] : undefined;
      if (array?.dataType === dataType) return [input, alone(array)];
      const gave = array === undefined ? "did not give it" : `gave ${array.dataType} instead of ${dataType}`;
      throw new ServableError("invalid_output", `The state '${output}' of a sequence is an output of the model '${model}', which ${gave}.`);
    }),
  );
}

function alone(array: Tensor): Tensor {
  const { dataType, shape, data } = array;
  if (!("subarray" in data) || 2 * data.byteLength >= data.buffer.byteLength) return array;
  return new Tensor(dataType, shape, data.slice());
}

/** Only requests whose states have one shape can share a batch. */
export function shapesKey(states: NamedArrays, plans: readonly StatePlan[]): string {
  let key = "";
  for (const { input } of plans) key += `${input}:${states[input]?.shape.join(",") ?? ""};`;
  return key;
}
