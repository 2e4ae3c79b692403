import { ServableError, type JsonValue } from "../errors.ts";
import type { OnnxModelOptions } from "../model/onnx/options.ts";
import { dataTypeOfTriton } from "../triton/data-types.ts";
import type { ModelConfig } from "../triton/model-config.ts";
import type { OnnxPlan } from "./backend/onnx-backend.ts";
import type { WarmupInputPlan, WarmupPlan } from "./backend/warmup.ts";
import { sequenceInputShapes, type MadeInputs } from "./sequence/sequence-tensors.ts";
import { reshaped, type Signature } from "./signature.ts";

/** Of one session; at some ten thousands onnxruntime ends the process. */
const mostThreads = 1_024;

/** How the backend `onnxruntime` is to load a version of a model. */
export function onnxPlanOf(
  config: ModelConfig,
  signature: Signature | undefined,
  place: Pick<OnnxPlan, "file" | "folder" | "gpus">,
): OnnxPlan {
  return {
    name: config.name ?? "",
    ...place,
    options: { graphOptimization: graphLevel(config.optimization?.graph?.level ?? 0), session: sessionOptions(config) },
    warmups: signature === undefined ? [] : warmupsOf(config, signature),
  };
}

/** The warm-up requests of a configuration. @throws ServableError `invalid_config` */
export function warmupsOf(config: ModelConfig, signature: Signature): readonly WarmupPlan[] {
  const made = sequenceInputShapes(config);
  return (config.modelWarmup ?? []).flatMap((warmup) => warmupPlan(warmup, signature, made));
}

/** The levels of Triton's backend of that name. */
function graphLevel(level: number): NonNullable<OnnxModelOptions["graphOptimization"]> {
  if (level === -1) return "basic";
  if (level === 1) return "extended";
  return level === 2 ? "disabled" : "all";
}

function sessionOptions({ parameters = {}, name = "" }: ModelConfig): Readonly<Record<string, JsonValue>> {
  const options: Record<string, JsonValue> = {};
  const session: Record<string, JsonValue> = {};
  for (const [key, { stringValue = "" }] of Object.entries(parameters)) {
    switch (key) {
      case "intra_op_thread_count":
        options.intraOpNumThreads = threads(name, key, stringValue);
        break;
      case "inter_op_thread_count":
        options.interOpNumThreads = threads(name, key, stringValue);
        break;
      case "execution_mode":
        options.executionMode = whole(name, key, stringValue) === 1 ? "parallel" : "sequential";
        break;
      case "enable_mem_arena":
        options.enableCpuMemArena = whole(name, key, stringValue) !== 0;
        break;
      case "enable_mem_pattern":
        options.enableMemPattern = whole(name, key, stringValue) !== 0;
        break;
      default:
        if (key.startsWith("session.")) session[key.slice("session.".length)] = stringValue;
    }
  }
  return Object.keys(session).length === 0 ? options : { ...options, extra: { session } };
}

function threads(model: string, parameter: string, text: string): number {
  const count = whole(model, parameter, text);
  if (count <= mostThreads) return count;
  throw new ServableError("invalid_config", `parameter '${parameter}' of model '${model}' may be ${mostThreads} at most, not ${text}`);
}

function whole(model: string, parameter: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ServableError("invalid_config", `parameter '${parameter}' of model '${model}' must be a whole number, not '${text}'`);
}

function warmupPlan(
  { name = "", batchSize = 0, count = 0, inputs = {} }: NonNullable<ModelConfig["modelWarmup"]>[number],
  { inputs: plans, maxBatchSize, model }: Signature,
  made: MadeInputs,
): WarmupPlan[] {
  // Of no rows: Triton leaves the sample out.
  if (batchSize === 0) return [];
  if (batchSize > Math.max(1, maxBatchSize)) {
    throw new ServableError(
      "invalid_config",
      `warmup sample '${name}' of model '${model}' has a batch_size of ${batchSize}, more than the model takes`,
    );
  }
  const listed = Object.entries(inputs).map(
    ([input, { dataType = "TYPE_INVALID", dims = [], zeroData, randomData, inputDataFile = "" }]) => {
      const plan = plans.get(input);
      const type = dataTypeOfTriton(dataType);
      if (plan === undefined && !made.has(input))
        throw new ServableError("invalid_config", `warmup sample '${name}' has the input '${input}', which model '${model}' has not`);
      const wanted = plan?.dataType ?? made.get(input)?.dataType;
      if (type === undefined || type !== wanted || dims.includes(-1)) {
        throw new ServableError(
          "invalid_config",
          `warmup sample '${name}' of model '${model}' does not say of what type and shape its input '${input}' is`,
        );
      }
      const data = zeroData === true ? "zero" : randomData === true ? "random" : "file";
      return {
        name: input,
        dataType: type,
        shape: plan?.reshape === undefined ? dims : reshaped(dims, plan.dims, plan.reshape),
        data,
        file: inputDataFile,
      } as const;
    },
  );
  // What the server makes for requests, and the sample does not name, is zero.
  const others = [...made].flatMap(([input, { dataType, shape }]): WarmupInputPlan[] =>
    Object.hasOwn(inputs, input) ? [] : [{ name: input, dataType, shape, data: "zero", file: "" }],
  );
  return [{ name, rows: maxBatchSize > 0 ? batchSize : null, count: Math.max(1, count), inputs: [...listed, ...others] }];
}
