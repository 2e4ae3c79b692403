import { tritonTypeOf } from "../data-types.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "../model-config.ts";
import { dimsOf, madeByServer, type ModelTensor, type ModelTensors } from "./model-tensors.ts";
import { gatherInto, type ConfigProblem, type Problems } from "./problem.ts";

/**
 * What of a configuration does not go with the model's file. Inputs are compared loosely: where the model takes any length, the configuration
 * may ask for one. Outputs must be what the model says, exactly.
 */
export function compareWithModel(config: ModelConfig, model: ModelTensors): readonly ConfigProblem[] {
  const list: ConfigProblem[] = [];
  const problems = gatherInto(list);
  compareInputs(config, model, problems);
  compareOutputs(config, model, problems);
  return list;
}

function compareInputs(config: ModelConfig, model: ModelTensors, problems: Problems): void {
  const { input = [] } = config;
  const own = new Map(model.inputs.map((tensor) => [tensor.name, tensor]));
  const overridable = new Map(model.overridable?.map((tensor) => [tensor.name, tensor]));
  const made = madeByServer(config);
  const given = new Set([...input.map(({ name = "" }) => name), ...made]);
  for (const name of own.keys()) if (!given.has(name)) problems.add(["input"], `the model has an input '${name}', which is not configured`);
  for (const name of made)
    if (!own.has(name)) problems.add(["input"], `the server would make an input '${name}', which the model does not have`);
  input.forEach((tensor, index) => {
    const place = problems.at("input", index);
    const { name = "" } = tensor;
    const found = own.get(name) ?? overridable.get(name);
    if (found === undefined) {
      place.add(["name"], `the model has no input '${name}'; it has ${[...own.keys(), ...overridable.keys()].join(", ")}`);
      return;
    }
    if (tensor.optional === true && !overridable.has(name)) place.add(["optional"], `the model can't run without '${name}'`);
    if (tensor.optional !== true && !own.has(name))
      place.add(["optional"], `'${name}' is an initializer of the model, so it must be optional`);
    compareType(tensor, found, place);
    if (tensor.allowRaggedBatch === true) {
      const shape = dimsOf(found);
      if (shape.length !== 1 || shape[0] !== -1)
        place.add(["allow_ragged_batch"], `the model's input must be exactly [-1], and is [${shape.join(", ")}]`);
    } else {
      compareShape(config, tensor, found, false, place);
    }
  });
}

function compareOutputs(config: ModelConfig, model: ModelTensors, problems: Problems): void {
  const { output = [] } = config;
  const own = new Map(model.outputs.map((tensor) => [tensor.name, tensor]));
  const states = new Set(config.sequenceBatching?.state?.map(({ outputName = "" }) => outputName));
  const forClients = [...own.keys()].filter((name) => !states.has(name));
  // Some may be left out; with none at all nobody would get an answer.
  if (output.length === 0 && forClients.length > 0)
    problems.add(["output"], `none is configured, and the model has ${forClients.join(", ")}`);
  output.forEach((tensor, index) => {
    const place = problems.at("output", index);
    const { name = "" } = tensor;
    const found = own.get(name);
    if (found === undefined) {
      place.add(["name"], `the model has no output '${name}'; it has ${[...own.keys()].join(", ")}`);
      return;
    }
    compareType(tensor, found, place);
    compareShape(config, tensor, found, true, place);
  });
}

function compareType(tensor: ModelInput | ModelOutput, found: ModelTensor, problems: Problems): void {
  const wanted = tritonTypeOf(found.dataType);
  if (tensor.dataType !== wanted) problems.add(["data_type"], `it is ${tensor.dataType ?? "TYPE_INVALID"}, and the model's is ${wanted}`);
}

function compareShape(config: ModelConfig, tensor: ModelInput | ModelOutput, found: ModelTensor, exact: boolean, problems: Problems): void {
  const batching = (config.maxBatchSize ?? 0) > 0;
  const shape = dimsOf(found);
  const field = tensor.reshape === undefined ? "dims" : "reshape";
  const dims = tensor.reshape === undefined ? (tensor.dims ?? []) : (tensor.reshape.shape ?? []);
  if (batching && shape[0] !== -1) {
    problems.add(
      ["dims"],
      `with max_batch_size above 0 the model's first dimension must be of any length (-1), and it is [${shape.join(", ")}]`,
    );
    return;
  }
  // A scalar is configured as [ 1 ].
  if (!batching && shape.length === 0 && dims.length === 1 && dims[0] === 1) return;
  const whole = batching ? [-1, ...dims] : dims;
  const fits = shape.length === whole.length && shape.every((length, axis) => whole[axis] === length || (!exact && length === -1));
  if (fits) return;
  const how = batching ? `[${whole.join(", ")}] with the batch's axis` : `[${whole.join(", ")}]`;
  problems.add([field], `it is ${how}, and the model's is [${shape.join(", ")}]${exact ? "; outputs must be the same" : ""}`);
}
