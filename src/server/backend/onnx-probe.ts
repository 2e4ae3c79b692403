import { ServableError } from "../../errors.ts";
import { Engine } from "../../engine/engine.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { modelFailure } from "../model-failure.ts";
import { PlacedService, ProbeService, type LoadedSpecs } from "../model-service.ts";
import { onnxPlanOf } from "../onnx-plan.ts";
import { onnxLoaderSpec, type OnnxPlan } from "./onnx-backend.ts";

/** Loads a model in a worker, since that blocks a thread, to see what it takes and gives. */
export async function probeOnnx(config: ModelConfig, place: Pick<OnnxPlan, "file" | "folder">, log: EngineLogger): Promise<LoadedSpecs> {
  let found: LoadedSpecs | undefined;
  const keep = (specs: LoadedSpecs): void => {
    found = specs;
  };
  const plan = onnxPlanOf(config, undefined, { ...place, gpus: [null] });
  const engine = new Engine({ services: [new PlacedService(onnxLoaderSpec(plan), { workers: 1 }, () => new ProbeService(keep))], log });
  try {
    await engine.start();
  } catch (thrown) {
    throw modelFailure(thrown);
  } finally {
    await engine.stop(0);
  }
  if (found === undefined) throw new ServableError("load_failed", "the model says nothing of its inputs and outputs");
  return found;
}
