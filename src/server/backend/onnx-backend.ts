/** The backend `onnxruntime`: how a model of a repository becomes one that the engine's workers load. */
import type { OnnxModelOptions } from "../../model/onnx/options.ts";
import { loadOnnxModel } from "../../model/onnx/load-onnx-model.ts";
import type { Model } from "../../model/model.ts";
import type { JsonValue } from "../../errors.ts";
import { makeDefinition } from "../../service/define-service.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { ModelPlace } from "../../service/model-loader.ts";
import { Service } from "../../service/service.ts";
import { escapeBytes, unescapeBytes } from "./raw-text.ts";
import { warmUp, type WarmupPlan } from "./warmup.ts";

/** What a worker must know to load a model: plain data. */
export interface OnnxPlan {
  /** Names the model in messages. */
  readonly name: string;
  readonly file: string;
  /** The model's folder. */
  readonly folder: string;
  /** The GPU of each worker; null for the CPU. */
  readonly gpus: readonly (number | null)[];
  readonly options: Pick<OnnxModelOptions, "graphOptimization"> & { readonly session: Readonly<Record<string, JsonValue>> };
  readonly warmups: readonly WarmupPlan[];
}

/** Names {@link onnxBackend} for workers. */
export function onnxLoaderSpec(plan: OnnxPlan): LoaderSpec {
  return { module: import.meta.url, export: "onnxBackend", arguments: [plan as unknown as JsonValue] };
}

/**
 * What a worker constructs: the model and nothing around it, which is the business of the thread that takes requests.
 *
 * @public - a worker imports it by the name that {@link onnxLoaderSpec} gives
 */
export function onnxBackend(plan: OnnxPlan): AnyServiceDefinition {
  return makeDefinition({ name: "model", model: true, loadModel: (place) => load(plan, place) }, () => new Nothing());
}

class Nothing extends Service {
  override call(): never {
    throw new TypeError("A worker runs the model alone.");
  }
}

async function load({ name, file, folder, gpus, options, warmups }: OnnxPlan, place: ModelPlace): Promise<Model> {
  const gpu = gpus[place.worker] ?? null;
  const model = await loadOnnxModel(file, {
    name,
    executionProviders: gpu === null ? ["cpu"] : [{ name: "cuda", deviceId: gpu }],
    graphOptimization: options.graphOptimization,
    sessionOptions: options.session,
  });
  const served: Model = model.inputs.some(({ dataType }) => dataType === "BYTES") ? withRawBytes(model) : model;
  try {
    await warmUp(served, folder, warmups);
  } catch (thrown) {
    await model.close();
    throw thrown;
  }
  return served;
}

function withRawBytes(model: Model): Model {
  return {
    name: model.name,
    inputs: model.inputs,
    outputs: model.outputs,
    async run(inputs, options) {
      const { arrays, escaped } = escapeBytes(inputs);
      const outputs = await model.run(arrays, options);
      return escaped ? unescapeBytes(outputs) : outputs;
    },
    close: () => model.close(),
  };
}
