/** How a model written in TypeScript is to run: what its configuration comes down to. */
import { ServableError } from "../../errors.ts";
import type { Placement } from "../../service/definition.ts";
import type { DataType } from "../../tensor/data-type.ts";
import { dataTypeOfTriton } from "../../triton/data-types.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { warmupsOf } from "../onnx-plan.ts";
import { controlPlansOf } from "../sequence/sequence-controls.ts";
import type { Signature, TensorPlan } from "../signature.ts";
import type { WarmupPlan } from "./warmup.ts";

/** One input or output, as the configuration has it: plain data. */
export interface PlannedTensor {
  readonly name: string;
  readonly dataType: DataType;
  /** As the model takes or gives it, without the batch's axis. */
  readonly dims: readonly number[];
}

/** What a worker must know to load a model that is written in TypeScript: plain data. */
export interface TypeScriptPlan {
  readonly name: string;
  readonly version: string;
  /** The module. */
  readonly file: string;
  /** The model's folder. */
  readonly folder: string;
  /** The GPU of each instance; null for the CPU. */
  readonly gpus: readonly (number | null)[];
  readonly maxBatchSize: number;
  readonly decoupled: boolean;
  readonly inputs: readonly PlannedTensor[];
  readonly outputs: readonly PlannedTensor[];
  readonly parameters: Readonly<Record<string, string>>;
  readonly warmups: readonly WarmupPlan[];
}

/** Where a model is. */
export type TypeScriptPlace = Pick<TypeScriptPlan, "version" | "file" | "folder" | "gpus">;

/** @throws ServableError `invalid_config` */
export function typescriptPlanOf(config: ModelConfig, signature: Signature, place: TypeScriptPlace): TypeScriptPlan {
  return {
    name: config.name ?? "",
    ...place,
    maxBatchSize: signature.maxBatchSize,
    decoupled: isDecoupled(config),
    inputs: [...signature.inputs.values()].map(planned).concat(sequenceInputs(config)),
    outputs: [...signature.outputs.values()].map(planned).concat(stateTensors(config, "outputName")),
    parameters: parametersOf(config),
    warmups: warmupsOf(config, signature),
  };
}

function planned({ name, dataType, dims, reshape }: TensorPlan): PlannedTensor {
  return { name, dataType, dims: reshape ?? dims };
}

/** What the server adds to a request of a sequence. */
function sequenceInputs(config: ModelConfig): readonly PlannedTensor[] {
  const controls = controlPlansOf(config.sequenceBatching ?? {});
  return [...controls.map(({ name, dataType }) => ({ name, dataType, dims: [1] })), ...stateTensors(config, "inputName")];
}

function stateTensors({ sequenceBatching }: ModelConfig, side: "inputName" | "outputName"): readonly PlannedTensor[] {
  return (sequenceBatching?.state ?? []).map(({ dataType = "TYPE_INVALID", dims = [], [side]: name = "" }) => {
    const type = dataTypeOfTriton(dataType);
    if (type === undefined)
      throw new ServableError("invalid_config", `state '${name}' has the data type ${dataType}, which no tensor can have`);
    return { name, dataType: type, dims };
  });
}

/** Whether a model gives any number of responses to a request. */
export function isDecoupled({ modelTransactionPolicy }: ModelConfig): boolean {
  return modelTransactionPolicy?.decoupled === true;
}

/** Threads, or processes where the parameter `placement` says so. @throws ServableError `invalid_config` */
export function placementOf(config: ModelConfig): Placement {
  const { placement = "thread" } = parametersOf(config);
  if (placement === "thread" || placement === "process") return placement;
  throw new ServableError(
    "invalid_config",
    `parameter 'placement' of model '${config.name ?? ""}' must be thread or process, not '${placement}'`,
  );
}

/** Requests that one instance of a decoupled model works on at the same time. @throws ServableError `invalid_config` */
export function concurrencyOf(config: ModelConfig): number {
  const { concurrency = "64" } = parametersOf(config);
  if (/^[1-9]\d{0,5}$/.test(concurrency)) return Number(concurrency);
  throw new ServableError(
    "invalid_config",
    `parameter 'concurrency' of model '${config.name ?? ""}' must be a whole number from 1 on, not '${concurrency}'`,
  );
}

function parametersOf({ parameters = {} }: ModelConfig): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(parameters).map(([key, { stringValue = "" }]) => [key, stringValue]));
}
