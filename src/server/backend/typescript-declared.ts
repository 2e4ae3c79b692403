/** What a model in TypeScript declares of itself, and how a configuration is completed from it. */
import { ServableError } from "../../errors.ts";
import type { DataType } from "../../tensor/data-type.ts";
import { formatShape } from "../../tensor/shape.ts";
import { tritonTypeOf } from "../../triton/data-types.ts";
import type { ModelConfig, ModelInput } from "../../triton/model-config.ts";
import { madeByServer } from "../../triton/rules/model-tensors.ts";
import type { PlannedTensor, TypeScriptPlan } from "./typescript-plan.ts";
import type { InputDeclarations, TypeScriptModel } from "./typescript.ts";

/** One input or output as its model declares it: plain data. */
export interface DeclaredTensor {
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly optional: boolean;
}

/** What a model declares of itself: plain data. A side that it does not declare is null. */
export interface Declaration {
  readonly inputs: readonly DeclaredTensor[] | null;
  readonly outputs: readonly DeclaredTensor[] | null;
  readonly maxBatchSize: number | null;
  /** Whether its `run` is an async generator. */
  readonly streams: boolean;
}

/** What a model declares of itself. */
export function declarationOf({ inputs, outputs, maxBatchSize, run }: TypeScriptModel): Declaration {
  return {
    inputs: inputs === undefined ? null : listed(inputs),
    outputs: outputs === undefined ? null : listed(outputs),
    maxBatchSize: maxBatchSize ?? null,
    streams: Object.prototype.toString.call(run) === "[object AsyncGeneratorFunction]",
  };
}

function listed(declarations: InputDeclarations): readonly DeclaredTensor[] {
  return Object.entries(declarations).map(([name, { dataType, dims, optional = false }]) => ({ name, dataType, dims, optional }));
}

/**
 * Fills in what a configuration leaves open. A model whose `run` is an async generator is decoupled, since nothing else could run it.
 *
 * @throws ServableError `invalid_config` where neither says what the inputs or the outputs are
 */
export function completeFromDeclaration(config: ModelConfig, declared: Declaration): ModelConfig {
  const { input = [], output = [], modelTransactionPolicy, dynamicBatching, sequenceBatching } = config;
  const asked = config.maxBatchSize ?? 0;
  const maxBatchSize = asked > 0 ? asked : (declared.maxBatchSize ?? 0);
  const decoupled = modelTransactionPolicy?.decoupled ?? declared.streams;
  const states = sequenceBatching?.state?.map(({ outputName = "" }) => outputName);
  const isUnscheduled = dynamicBatching === undefined && sequenceBatching === undefined;
  return {
    ...config,
    maxBatchSize,
    ...(maxBatchSize > 1 && isUnscheduled && !decoupled && { dynamicBatching: {} }),
    ...(decoupled && { modelTransactionPolicy: { decoupled } }),
    input: input.length > 0 ? input : filled(config, "inputs", declared.inputs, madeByServer(config)),
    output: output.length > 0 ? output : filled(config, "outputs", declared.outputs, new Set(states)),
  };
}

/** @param except - what the server makes and keeps, and clients don't see */
function filled(
  { name = "" }: ModelConfig,
  side: "inputs" | "outputs",
  declared: readonly DeclaredTensor[] | null,
  except: ReadonlySet<string>,
): ModelInput[] {
  if (declared === null) {
    throw new ServableError(
      "invalid_config",
      `model '${name}' does not say what its ${side} are: declare \`${side}\` in its module, or write them into config.pbtxt`,
    );
  }
  const own = declared.filter((tensor) => !except.has(tensor.name));
  return own.map((tensor) => ({
    name: tensor.name,
    dataType: tritonTypeOf(tensor.dataType),
    dims: [...tensor.dims],
    ...(tensor.optional && { optional: true }),
  }));
}

/**
 * Checks that a model is what its configuration says.
 *
 * @throws ServableError `load_failed` that names all that differs
 */
export function checkDeclared(plan: TypeScriptPlan, model: TypeScriptModel): void {
  const { inputs, outputs, streams } = declarationOf(model);
  const problems = [
    ...(inputs === null ? [] : differences("input", plan.inputs, inputs)),
    ...(outputs === null ? [] : differences("output", plan.outputs, outputs)),
  ];
  if (streams && !plan.decoupled) {
    problems.push("its run is an async generator, and its configuration lacks model_transaction_policy { decoupled: true }");
  }
  if (problems.length > 0)
    throw new ServableError("load_failed", `model '${plan.name}' is not what its configuration says: ${problems.join("; ")}`);
}

function differences(side: string, planned: readonly PlannedTensor[], declared: readonly DeclaredTensor[]): string[] {
  const configured = new Map(planned.map((tensor) => [tensor.name, tensor]));
  const own = new Set(declared.map(({ name }) => name));
  const problems = planned.filter(({ name }) => !own.has(name)).map(({ name }) => `it has no ${side} '${name}'`);
  for (const { name, dataType, dims, optional } of declared) {
    const found = configured.get(name);
    if (found === undefined) {
      if (!optional) problems.push(`its ${side} '${name}' is not configured`);
      continue;
    }
    // Where the model takes any length, the configuration may ask for one; what it gives must be what is promised.
    const loose = side === "input";
    const fits = dims.length === found.dims.length && dims.every((length, axis) => length === found.dims[axis] || (loose && length === -1));
    if (found.dataType === dataType && fits) continue;
    problems.push(
      `its ${side} '${name}' is ${dataType} ${formatShape(dims)}, and configured as ${found.dataType} ${formatShape(found.dims)}`,
    );
  }
  return problems;
}
