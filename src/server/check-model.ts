import { ServableError } from "../errors.ts";
import type { TensorSpec } from "../model/model.ts";
import type { ModelConfig, ModelInput, ModelOutput } from "../triton/model-config.ts";
import type { LoadedSpecs } from "./model-service.ts";
import { dataTypeOf } from "./signature.ts";

/**
 * Checks a configuration against the model that was loaded for it: names, types, and shapes; of inputs one of any length takes each length,
 * of outputs it must be said.
 *
 * @throws ServableError `load_failed`
 */
export function checkAgainstModel(config: ModelConfig, { inputs, outputs }: LoadedSpecs): void {
  const { input = [], output = [], name = "", maxBatchSize = 0 } = config;
  const targets = new Set((config.batchInput ?? []).flatMap(({ targetName }) => targetName ?? []));
  const required = input.filter(({ optional }) => optional !== true);
  const wanted = inputs.filter((spec) => !targets.has(spec.name));
  if (required.length > wanted.length || input.length < wanted.length) {
    throw failed(`unable to load model '${name}', configuration expects ${input.length} inputs, model provides ${wanted.length}`);
  }
  for (const tensor of input) {
    const spec = find(name, "input", tensor, inputs);
    if (tensor.optional === true && spec === undefined) continue;
    if (tensor.allowRaggedBatch === true) continue;
    check(name, "input", tensor, required_(name, "input", tensor, spec, inputs), maxBatchSize, false);
  }
  for (const tensor of output) {
    check(name, "output", tensor, required_(name, "output", tensor, find(name, "output", tensor, outputs), outputs), maxBatchSize, true);
  }
}

type Side = "input" | "output";

function find(_model: string, _side: Side, { name }: ModelInput | ModelOutput, specs: readonly TensorSpec[]): TensorSpec | undefined {
  return specs.find((spec) => spec.name === name);
}

function required_(
  model: string,
  side: Side,
  { name = "" }: ModelInput | ModelOutput,
  spec: TensorSpec | undefined,
  all: readonly TensorSpec[],
): TensorSpec {
  if (spec !== undefined) return spec;
  throw failed(
    `unexpected inference ${side} '${name}', allowed ${side}s are: ${all.map((known) => known.name).join(", ")} (model '${model}')`,
  );
}

function check(model: string, side: Side, tensor: ModelInput | ModelOutput, spec: TensorSpec, maxBatchSize: number, exact: boolean): void {
  const { name = "", dataType = "TYPE_INVALID", dims = [], reshape } = tensor;
  if (dataTypeOf(dataType) !== spec.dataType) {
    throw failed(
      `unable to load model '${model}', configuration expects datatype ${dataType} for ${side} '${name}', model provides TYPE_${spec.dataType === "BYTES" ? "STRING" : spec.dataType}`,
    );
  }
  const own = spec.shape.map((length) => (typeof length === "number" ? length : -1));
  const expected = [...(maxBatchSize > 0 ? [-1] : []), ...(reshape === undefined ? dims : (reshape.shape ?? []))];
  // A scalar is written as [1] where there are no batches.
  if (own.length === 0 && expected.length === 1 && expected[0] === 1) return;
  const fits =
    own.length === expected.length &&
    own.every((length, axis) => length === expected[axis] || (!exact && (length === -1 || expected[axis] === -1)));
  if (fits) return;
  if (maxBatchSize > 0 && (own.length === 0 || own[0] !== -1)) {
    throw failed(
      `model '${model}', tensor '${name}': for the model to support batching the shape should have at least 1 dimension and the first dimension ` +
        `must be -1; but shape expected by the model is [${own.join(",")}]`,
    );
  }
  throw failed(
    `model '${model}', tensor '${name}': the model expects ${own.length} dimensions (shape [${own.join(",")}]) but the model configuration specifies ${expected.length} dimensions (shape [${expected.join(",")}])`,
  );
}

function failed(message: string): ServableError {
  return new ServableError("load_failed", message);
}
